"""The table of settings: that it is whole."""

import dataclasses
import re
import typing
from types import NoneType, UnionType
from typing import Any, Literal, Union

import pytest

from pyserve.settings import DEFAULTS, OPTIONS, Settings, SettingsError
from pyserve.values.option import Group, shown_value


def fits(value: object, annotation: Any) -> bool:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, UnionType):
        return any(fits(value, argument) for argument in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        return isinstance(value, tuple) and all(fits(item, arguments[0]) for item in value)
    if annotation is None:
        annotation = NoneType
    return type(value) is (origin or annotation)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_default_has_the_type_of_its_field(name: str) -> None:
    assert fits(getattr(DEFAULTS, name), typing.get_type_hints(Settings)[name])


@pytest.mark.parametrize("name", OPTIONS)
def test_a_default_can_be_given(name: str) -> None:
    default = getattr(DEFAULTS, name)
    if default is not None:
        parse = OPTIONS[name].kind.parse
        assert parse(default) == default
        if OPTIONS[name].flags and default != ():
            assert parse(shown_value(default)) == default


@pytest.mark.parametrize("name", OPTIONS)
def test_choices_are_those_of_the_type(name: str) -> None:
    words = OPTIONS[name].kind.expected.removeprefix("one of ")
    literals = re.findall(r"'(\w+)'", str(typing.get_type_hints(Settings)[name]))
    if words != OPTIONS[name].kind.expected:
        assert words.split(", ") == literals


def test_flags_and_variables_are_unique() -> None:
    flags = [flag for option in OPTIONS.values() for flag in option.flags.split()]
    variables = [variable for option in OPTIONS.values() for variable in (option.variable, *option.fallbacks)]
    variables = [variable for variable in variables if variable]
    assert len(set(flags)) == len(flags)
    assert len(set(variables)) == len(variables)


def test_every_group_has_settings_and_every_help_is_a_sentence() -> None:
    assert {option.group for option in OPTIONS.values()} == set(Group)
    assert all(option.help.endswith(".") for option in OPTIONS.values())


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("app", "PYSERVE_APP"),
        ("keepalive", "PYSERVE_KEEP_ALIVE"),
        ("pidfile", "PYSERVE_PID"),
        ("accesslog", "PYSERVE_ACCESS_LOGFILE"),
        ("limit_request_field_size", "PYSERVE_LIMIT_REQUEST_FIELD_SIZE"),
    ],
)
def test_variables(name: str, variable: str) -> None:
    assert OPTIONS[name].variable == variable


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEFAULTS.workers = 2  # type: ignore[misc]  # that it cannot be is what is tested


def test_an_error_is_a_configuration_error_unless_it_says_otherwise() -> None:
    assert SettingsError("x").exit_code == 1
    assert SettingsError("x", 2).exit_code == 2
