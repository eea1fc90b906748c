"""The values of --paste and --paste-global."""

from pathlib import Path

import pytest

from pyserve.values import ini


def test_a_file_and_a_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.ini").touch()
    monkeypatch.chdir(tmp_path)
    parse = ini.file().parse
    assert parse("a.ini") == f"{tmp_path}/a.ini"
    assert parse("a.ini#admin") == f"{tmp_path}/a.ini#admin"
    assert parse("") is parse("#admin") is None
    for wrong in ("b.ini", "b.ini#main", 5):
        with pytest.raises(ValueError):
            parse(wrong)


def test_variables() -> None:
    parse = ini.variables().parse
    assert parse("a=b") == ("a=b",)
    assert parse(["a=b", r"c\=d=e"]) == ("a=b", r"c\=d=e")
    for wrong in ("a", r"a\=b", 5, ["a=b", "c"]):
        with pytest.raises(ValueError):
            parse(wrong)


def test_an_escaped_sign_belongs_to_its_side() -> None:
    assert ini.split("a=b=c") == ("a", "b=c")
    assert ini.split(r"a\=b=c\=d") == ("a=b", "c=d")
