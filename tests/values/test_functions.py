"""Hooks: what can be called with their arguments, and names of such."""

import functools
import sys
from pathlib import Path

import pytest

from pyserve.values import functions


@pytest.mark.parametrize("given", ["", "f", "a b.c", ".f", "..", 1, None, []])
def test_what_is_no_hook(given: object) -> None:
    with pytest.raises(ValueError):
        functions.hook("server").parse(given)


class Callable2:
    def __call__(self, server: object, worker: object) -> None: ...

    def method(self, server: object, worker: object) -> None: ...


def of_one(server: object) -> None: ...
def of_two(server: object, worker: object) -> None: ...
def of_two_or_three(server: object, worker: object, more: object = None) -> None: ...
def of_three(server: object, new: object, old: object) -> None: ...
def of_any(*arguments: object) -> None: ...
def of_names(server: object, *, worker: object) -> None: ...


@pytest.mark.parametrize(
    "function",
    [of_two, of_two_or_three, of_any, functools.partial(of_three, None), Callable2(), Callable2().method, max],
)
def test_a_hook_is_what_can_be_called_so(function: object) -> None:
    assert functions.hook("server, worker").parse(function) is function


@pytest.mark.parametrize("function", [of_one, of_three, of_names, Callable2, lambda: None])
def test_a_hook_of_other_arguments_is_refused(function: object) -> None:
    with pytest.raises(ValueError, match=r"^: Value must have an arity of: 2$"):
        functions.hook("server, worker").parse(function)


def test_a_hook_may_take_less_where_that_is_allowed() -> None:
    kind = functions.hook("a, b, c", least=2)
    assert [kind.parse(function) for function in (of_two, of_three, of_any)] == [of_two, of_three, of_any]
    with pytest.raises(ValueError, match=r"^: Value must have an arity of: 3$"):
        kind.parse(of_one)


def test_a_hook_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some_hooks.py").write_text("def post_fork(server, worker):\n    pass\n")
    (tmp_path / "broken_hooks.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    before = sys.path.copy()
    kind = functions.hook("server, worker")
    assert kind.parse(" some_hooks.post_fork ") is sys.modules["some_hooks"].post_fork
    for given, hint in {
        "post_fork": ": Value is not import string. Format: module[.submodules...].object",
        "some_hooks.other": ": Can not load 'other' from 'some_hooks'",
        "no_such_module.f": ": ModuleNotFoundError: No module named 'no_such_module'",
        "broken_hooks.f": ": ZeroDivisionError: division by zero",
        "some_hooks.__name__": ": Value is not callable",
    }.items():
        with pytest.raises(ValueError) as caught:
            kind.parse(given)
        assert str(caught.value) == hint
    assert sys.path == before
