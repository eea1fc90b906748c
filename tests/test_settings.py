"""The table: that it is whole, that the page made from it is committed, and which settings have no effect."""

import dataclasses
import re
import typing
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union

import pytest

from pyserve.effects import ineffective
from pyserve.manual import page
from pyserve.settings import DEFAULTS, OPTIONS, Settings, SettingsError, WorkerClass
from pyserve.values.option import Group, shown_value

ROOT = Path(__file__).resolve().parent.parent


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


def test_the_committed_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == page(), "run: python -m pyserve.settings > docs/settings.md"


def test_every_row_of_the_page_has_six_cells() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert len(rows) == len(OPTIONS)
    assert {len(re.split(r"(?<!\\)\|", row)) for row in rows} == {8}


# (what was changed, worker class, interface, what the one warning names)
INEFFECTIVE: list[tuple[dict[str, Any], WorkerClass, str, str]] = [
    ({}, "sync", "wsgi", ""),
    ({}, "async", "asgi", ""),
    ({"loop": "uvloop"}, "async", "asgi", ""),
    ({"loop": "uvloop"}, "sync", "auto", "--loop"),
    ({"lifespan": "off"}, "sync", "wsgi", "--lifespan"),
    ({"lifespan": "off"}, "async", "auto", ""),
    ({"lifespan": "off"}, "async", "wsgi", "--lifespan"),
    ({"disconnect_grace": 1.0}, "sync", "wsgi", "--disconnect-grace"),
    ({"disconnect_grace": 1.0}, "async", "wsgi", "--disconnect-grace"),
    ({"disconnect_grace": 1.0}, "async", "asgi", ""),
    ({"threads": 4}, "sync", "wsgi", ""),
    ({"threads": 4}, "async", "wsgi", ""),
    ({"threads": 4}, "async", "asgi", "--threads"),
    ({"max_requests_jitter": 4}, "sync", "wsgi", "--max-requests-jitter"),
    ({"max_requests_jitter": 4, "max_requests": 9}, "sync", "wsgi", ""),
    ({"body_min_rate": 0}, "sync", "wsgi", ""),
    ({"body_min_rate": 1000, "body_timeout": 0}, "sync", "wsgi", "--body-min-rate"),
    ({"write_min_rate": 1000, "write_timeout": 0}, "async", "asgi", "--write-min-rate"),
    ({"proxy_headers": False, "forwarded_allow_ips": ("*",)}, "sync", "wsgi", "--forwarded-allow-ips"),
    ({"trusted_proxy_headers": ("forwarded",)}, "sync", "wsgi", "--trusted-proxy-headers"),
    ({"trusted_proxy_headers": ("forwarded",), "proxy_headers": True}, "sync", "wsgi", ""),
    ({"trusted_proxy_headers": ("forwarded",)}, "async", "asgi", ""),
    ({"forwarder_headers": ("*",)}, "async", "asgi", "--forwarder-headers"),
    ({"forwarder_headers": ("*",), "header_map": "refuse"}, "async", "asgi", ""),
    ({"proxy_allow_ips": ("*",)}, "sync", "wsgi", "--proxy-allow-from"),
    ({"proxy_allow_ips": ("*",), "proxy_protocol": "v2"}, "sync", "wsgi", ""),
    ({"reuse_port": True}, "sync", "wsgi", ""),
    ({"reuse_port": True, "bind": ("unix:/a", "fd://3")}, "sync", "wsgi", "--reuse-port"),
    ({"reuse_port": True, "bind": ("unix:/a", "a:1")}, "sync", "wsgi", ""),
]


@pytest.mark.parametrize(("changed", "worker_class", "interface", "named"), INEFFECTIVE)
def test_ineffective(changed: dict[str, Any], worker_class: WorkerClass, interface: str, named: str) -> None:
    lines = ineffective(Settings(**changed), worker_class, interface)
    assert len(lines) == bool(named)
    assert all(line.startswith(f"{named} has no effect") and "\n" not in line for line in lines)


def test_an_error_is_a_configuration_error_unless_it_says_otherwise() -> None:
    assert SettingsError("x").exit_code == 1
    assert SettingsError("x", 2).exit_code == 2
