"""`pyserve.run`: the command's road with keywords."""

from typing import Any

import pytest

import pyserve
from pyserve.server import cli


@pytest.mark.parametrize("code", [0, 3])
def test_run_raises_only_for_a_failure(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    given: list[Any] = []

    def run(app: Any, settings: Any) -> int:
        given.append((app, settings))
        return code

    monkeypatch.setattr(cli, "run", run)
    if code:
        with pytest.raises(SystemExit) as caught:
            pyserve.run("main:app", workers=2)
        assert caught.value.code == code
    else:
        pyserve.run("main:app", workers=2)
    assert given == [("main:app", {"workers": 2})]
