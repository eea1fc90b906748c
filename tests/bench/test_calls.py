import json
from pathlib import Path

import pytest

from bench import calls
from bench.servers import Server


@pytest.mark.parametrize(
    ("version", "expected"), [((3, 10), {}), ((3, 11), {"a": 1}), ((3, 12), {"a": 1}), ((3, 14), {"a": 2})]
)
def test_the_budget_is_that_of_this_python_or_the_next_older_one(
    version: tuple[int, int], expected: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "BUDGET", tmp_path / "calls.json")
    assert calls.budget(version) == {}
    calls.BUDGET.write_text(json.dumps({"3.13": {"a": 2}, "3.11": {"a": 1}}))
    assert calls.budget(version) == expected


@pytest.mark.parametrize("server", calls.OURS, ids=[server.name for server in calls.OURS])
def test_one_request_stays_within_its_budget_of_calls(server: Server) -> None:
    assert calls.count(server)[0] <= calls.budget()[server.name], "if it must be so: python -m bench calls --write"
