"""The command line's forms: abbreviations, values, switches."""

import click
import pytest

from pyserve.server.command import parse

# (command line, what was given)
FORMS: list[tuple[str, dict[str, object]]] = [
    ("-w4 m:app", {"workers": "4", "app": "m:app"}),
    ("-w 4 m:app", {"workers": "4", "app": "m:app"}),
    ("m:app -b :1 -b=:2 -w=4", {"app": "m:app", "bind": (":1", ":2"), "workers": "4"}),
    ("-D -w=4", {"daemon": True, "workers": "4"}),
    ("-DRw4", {"daemon": True, "enable_stdio_inheritance": True, "workers": "4"}),
    ("-DRw 4 --conf x", {"daemon": True, "enable_stdio_inheritance": True, "workers": "4", "config": "x"}),
    ("--bind=:1 m:app --bind :2", {"app": "m:app", "bind": (":1", ":2")}),
    ("--conf x.py", {"config": "x.py"}),
    ("--conf=x.py", {"config": "x.py"}),
    ("--thread 4", {"threads": "4"}),
    ("--error-log -", {"errorlog": "-"}),
    ("--worker-conn 9", {"worker_connections": "9"}),
    ("--timeo 5", {"timeout": "5"}),
    ("--prel", {"preload_app": True}),
    ("--no-prel", {"preload_app": False}),
    ("--access-logformat --conf", {"access_log_format": "--conf"}),
    ("-t --conf", {"timeout": "--conf"}),
    ("-t5 --conf x", {"timeout": "5", "config": "x"}),
    ("--config x --config y", {"config": "y"}),
    ("--conf x -- m:app", {"config": "x", "app": "m:app"}),
    ("", {}),
]


@pytest.mark.parametrize(("line", "given"), FORMS)
def test_forms(line: str, given: dict[str, object]) -> None:
    assert parse(line.split()) == given


@pytest.mark.parametrize(
    ("line", "piece"),
    [
        ("--worker 4", "--worker may mean --worker-class, --worker-connections"),
        ("--nowhere", "No such option"),
        ("-w", "requires an argument"),
        ("--conf", "requires an argument"),
        ("-- --conf x", "unexpected extra argument"),
    ],
)
def test_what_is_refused(line: str, piece: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        parse(line.split())
    assert piece in caught.value.format_message()


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (["--proxy-protocol"], "auto"),
        (["--proxy-protocol", "-w", "2"], "auto"),
        (["--proxy-protocol", "--thread", "2"], "auto"),
        (["--proxy-protocol", "v1"], "v1"),
        (["--proxy-protocol=v2"], "v2"),
        (["--proxy-prot", "off"], "off"),
        ([], None),
    ],
)
def test_an_option_that_may_go_without_its_value(arguments: list[str], given: str | None) -> None:
    assert parse(arguments).get("proxy_protocol") == given
