import json
from pathlib import Path

import pytest

from bench import report
from bench.measure import Sample
from bench.scenarios import SCENARIOS, Scenario
from bench.servers import Server

SCENARIO = Scenario(
    "race",
    "a race",
    (Server("ours", "pytest", "", ""), Server("fast", "pytest", "", ""), Server("slow", "pytest", "", "")),
    {"fast": 1.0, "slow": 0.2},
)


def samples(*costs: float) -> list[Sample]:
    return [Sample(1e6 / cost, cost, 1) for cost in costs]


def test_the_median_of_the_rounds_counts() -> None:
    ours, fast, slow = report.rows(
        SCENARIO, {"ours": samples(10, 12, 99), "fast": samples(8, 8, 8), "slow": samples(60, 1, 61)}
    )
    assert (ours.cpu, ours.spread, ours.errors, ours.ratio, ours.verdict()) == (12, (10, 99), 3, None, "")
    assert (fast.ratio, fast.verdict()) == (1.5, "missed")
    assert (slow.ratio, slow.verdict()) == (0.2, "met")


def test_a_server_that_was_not_measured_is_left_out() -> None:
    (fast,) = report.rows(SCENARIO, {"fast": samples(8)})
    assert (fast.server, fast.ratio, fast.verdict()) == ("fast", None, "")


def test_a_table_is_markdown() -> None:
    assert report.table(("a", "b"), [("long", 1), ("x", 1000)]) == (
        "| a    |    b |\n|------|-----:|\n| long |    1 |\n| x    | 1000 |"
    )


def test_results_name_no_path_and_no_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    found = report.rows(SCENARIO, {"ours": samples(10), "slow": samples(50)})
    report.write("x", "Title", [report.markdown(SCENARIO, found)], {"rows": report.as_data(found)})
    text = (tmp_path / "results" / "x.md").read_text()
    data = json.loads((tmp_path / "results" / "x.json").read_text())
    assert "## a race" in text
    assert data["rows"][1]["ratio"] == 0.2
    assert set(data["machine"]) == {"python", "cpu", "cores", "date"}
    assert "/home" not in text
    assert str(Path.cwd()) not in text + json.dumps(data)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.name for scenario in SCENARIOS])
def test_goals_are_about_servers_that_take_part(scenario: Scenario) -> None:
    assert set(scenario.goals) <= {server.name for server in scenario.servers[1:]}
    assert scenario.servers[0].module == "pyserve"
    for server in scenario.servers:
        assert "8123" in " ".join(server.command(8123))
