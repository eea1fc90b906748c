"""Atoms: gunicorn's names and values, and nothing that could forge a line."""

import base64
import json
import logging
import re
from datetime import timedelta
from typing import Any

import pytest

from pyserve.workers.logs.access_format import compile_format
from pyserve.workers.logs.atoms import Request, Response, SafeAtoms, atoms, environ_of, safe_atoms_for
from tests.workers.answers import Connection, Exchange, WsgiConnection

COMBINED = '%(h)s %(l)s %(u)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'


def made(exchange: Exchange | None = None, connection: Any = None, seconds: float = 1.234567) -> dict[str, Any]:
    exchange = exchange or Exchange()
    environ = environ_of(exchange, connection or Connection())
    return atoms(Response(exchange), Request(exchange), environ, timedelta(seconds=seconds))


def test_values() -> None:
    found = made()
    assert re.fullmatch(r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]", found.pop("t"))
    assert re.fullmatch(r"<\d+>", found.pop("p"))
    short = {name: value for name, value in found.items() if not name.startswith("{")}
    assert short == {
        "h": "192.0.2.7", "l": "-", "u": "-", "r": "GET /a%20b?x=1 HTTP/1.1", "s": "200", "m": "GET", "U": "/a b",
        "q": "x=1", "H": "HTTP/1.1", "b": "13", "B": 13, "f": "-", "a": "curl/8", "T": 1, "D": 1234567, "M": 1234,
        "L": "1.234567",
    }  # fmt: skip
    assert found["{host}i"] == "example.org"
    assert found["{content-type}o"] == "text/plain"
    assert found["{request_method}e"] == "GET"


def test_gunicorn_makes_the_same() -> None:
    glogging = pytest.importorskip("gunicorn.glogging")
    logger = object.__new__(glogging.Logger)
    exchange = Exchange(index={b"authorization": b"Basic " + base64.b64encode(b"jo:pw"), b"referer": b"/r"})
    args = (Response(exchange), Request(exchange), environ_of(exchange, Connection()), timedelta(seconds=1.5))
    ours, theirs = atoms(*args), logger.atoms(*args)
    assert ours == theirs
    assert ours["u"] == "jo"


def test_the_environ_of_the_application_is_taken_where_there_is_one() -> None:
    assert made(connection=WsgiConnection(PATH_INFO="/changed"))["U"] == "/changed"
    assert made(connection=WsgiConnection(MINE="x"))["{mine}e"] == "x"


def test_a_request_that_was_never_answered() -> None:
    found = made(Exchange(status=0, body_sent=0))
    assert (found["s"], found["b"]) == ("-", "0")


def test_safe_atoms() -> None:
    safe = SafeAtoms(made() | {"a": 'x" \\ \n \x80', "u": "a b", "n": 7})
    assert safe["a"] == '\\x78" \\\\ \\x0a \\x80'.replace("\\x78", "x").replace('"', '\\"')
    assert safe["u"] == "a\\x20b"
    assert safe["n"] == 7
    assert safe["nothing"] == "-"
    assert safe["{HOST}i"] == "example.org"
    assert safe["{x-none}i"] == "-"


NASTY = {b"user-agent": b"\" 200 1 '\n\x80\\", b"referer": b"a\tb", b"x-a": b"'"}


@pytest.mark.parametrize(
    "access_log_format",
    [
        COMBINED,
        "%(a)s '%(f)s' %({x-a}i)s %({x-none}i)s",
        '{"agent": "%(a)s", "path": "%(U)s", "status": %(s)s}',
        "%(m)s %(U)s %(q)s %(H)s %(B)s %(D)s %(L)s %(M)s %(T)s %(zzz)s %({content-type}o)s",
    ],
)
def test_a_line_is_the_same_as_without_logging(access_log_format: str) -> None:
    exchange = Exchange(index=NASTY, path=b"/%22%0a")
    safe = safe_atoms_for(access_log_format)(made(exchange))
    record = logging.LogRecord("gunicorn.access", 20, "", 0, access_log_format, (safe,), None)
    assert isinstance(record.args, dict)
    expected = compile_format(access_log_format)(exchange, Connection(), 1.234567, 0.0)
    assert record.getMessage() + "\n" == expected.decode()
    if access_log_format.startswith("{"):
        assert json.loads(record.getMessage())["agent"] == NASTY[b"user-agent"].decode("latin-1")
