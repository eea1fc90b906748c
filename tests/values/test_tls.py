"""Values of settings about TLS."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from pyserve.effects import ineffective
from pyserve.settings import Settings
from pyserve.values import tls


@pytest.mark.parametrize(
    ("given", "expected"),
    [("a", ("a",)), (["a", "b"], ("a", "b")), (("a",), ("a",)), (Path("a"), ("a",)), ("", ()), ([], ())],
)
def test_files(given: object, expected: tuple[str, ...]) -> None:
    assert tls.files().parse(given) == expected


@pytest.mark.parametrize("given", [1, None, ["a", None], "a\nb"])
def test_what_is_no_file(given: object) -> None:
    with pytest.raises(ValueError):
        tls.files().parse(given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [("0", 0), (1, 1), (" 2 ", 2), ("CERT_REQUIRED", 2), ("optional", 1), (ssl.CERT_OPTIONAL, 1), ("none", 0)],
)
def test_requirement(given: object, expected: int) -> None:
    assert tls.requirement().parse(given) == expected


@pytest.mark.parametrize("given", ["3", -1, "requried", None, 1.0])
def test_what_is_no_requirement(given: object) -> None:
    with pytest.raises(ValueError):
        tls.requirement().parse(given)


def test_version() -> None:
    kind = tls.version()
    assert [kind.parse(given) for given in ("TLSv1_2", 17, ssl.PROTOCOL_TLS_SERVER)] == [
        "TLSv1_2", "17", "PROTOCOL_TLS_SERVER",
    ]  # fmt: skip
    for wrong in (None, True, 1.5):
        with pytest.raises(ValueError):
            kind.parse(wrong)


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"ssl_version": "TLSv1"}, "--ssl-version: has no effect"),
        ({"do_handshake_on_connect": True}, "--do-handshake-on-connect: has no effect"),
        ({"ciphers": "HIGH"}, "--ciphers has no effect without --certfile"),
        ({"cert_reqs": 2}, "--cert-reqs has no effect without --certfile"),
        ({"ssl_context": lambda config, factory: factory()}, "ssl_context has no effect without --certfile"),
        ({"certfile": ("a",), "ca_certs": "b"}, "--ca-certs has no effect without --cert-reqs"),
        ({"certfile": ("a",), "crl_file": "b"}, "--crl-file has no effect without --cert-reqs"),
    ],
)
def test_what_has_no_effect_is_said(settings: dict[str, Any], flag: str) -> None:
    (line,) = ineffective(Settings(**settings), "sync")
    assert line.startswith(flag)
    assert ineffective(Settings(certfile=("a",), keyfile=("b",), cert_reqs=2, ca_certs="c"), "async") == []
