import shutil

import pytest

from bench import memory, run


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_one_short_round_of_speed(capsys: pytest.CaptureFixture[str]) -> None:
    options = [
        "--only",
        "sync",
        "--server",
        "pyserve",
        "--rounds",
        "1",
        "--seconds",
        "1",
        "--connections",
        "4",
        "--dry",
    ]
    assert run.main(options) == 0
    table = capsys.readouterr().out
    name, rate, cpu, _, errors, *_ = [cell.strip() for cell in table.splitlines()[-2].strip("|").split("|")]
    assert name.startswith("pyserve ")
    assert float(rate.replace(",", "")) > 0
    assert float(cpu) > 0
    assert errors == "0"


def test_without_wrk_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert run.main(["--dry"]) == 1
    assert "wrk is needed" in capsys.readouterr().err


@pytest.mark.parametrize("worker", ["async", "sync"])
def test_memory_stays_flat_while_bodies_pass(worker: str, capsys: pytest.CaptureFixture[str]) -> None:
    memory.main(["--worker", worker, "--connections", "50", "--mebibytes", "64", "--dry"])
    idle, upload, download = capsys.readouterr().out.splitlines()[2:]
    assert "50 connections" in idle
    for transfer in (upload, download):
        assert "64 MiB" in transfer
        assert transfer.rstrip("| ").endswith("met")
