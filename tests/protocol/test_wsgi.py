"""WSGI: environ, and what the standard library thinks of all of it (PEP 3333)."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.validate import validator

import pytest

from pyserve.protocol import wsgi
from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.exchange import Receiving
from pyserve.protocol.wsgi import EnvironKeys, make_environ
from tests.protocol.wsgi_peer import ARRIVALS, CONTENT, GET, HEAD, Peer, Start, environ_of, template, with_fields

# environ


def test_environ_is_pep_3333s() -> None:
    octets = (
        b"POST /a%20b/c?d=%20e HTTP/1.1\r\nHost: example.com:80\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n"
        b"User-Agent: test\r\nX-Repeated: 1\r\nx-repeated: 2\r\nCookie: a=1\r\nCookie: b=2\r\n\r\nabc"
    )
    shared = template()
    environ = make_environ(Peer(octets).exchange, shared, EnvironKeys("drop"))
    assert environ == {
        **template(),
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/c",
        "QUERY_STRING": "d=%20e",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "3",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "RAW_URI": "/a%20b/c?d=%20e",
        "REQUEST_URI": "/a%20b/c?d=%20e",
        "HTTP_HOST": "example.com:80",
        "HTTP_USER_AGENT": "test",
        "HTTP_X_REPEATED": "1, 2",
        "HTTP_COOKIE": "a=1; b=2",
    }
    assert shared == template()  # is every request's
    assert type(environ) is dict
    assert all(type(value) is str for key, value in environ.items() if key.isupper())


def test_environ_of_a_request_without_anything() -> None:
    environ = environ_of(b"GET / HTTP/1.0\r\n\r\n")
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert environ["QUERY_STRING"] == ""
    assert not {"CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_HOST"} & set(environ)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/", "/"),
        (b"/a/../b//", "/a/../b//"),
        (b"/%41%2f%2F", "/A//"),
        (b"/%C3%A9", "/\xc3\xa9"),  # UTF-8 read as latin-1, as PEP 3333 has it
        (b"/%e9%FF%00", "/\xe9\xff\x00"),
        (b"/%zz%4", "/%zz%4"),
        (b"/+", "/+"),
    ],
)
def test_path_info(path: bytes, expected: str) -> None:
    environ = environ_of(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path)
    assert environ["PATH_INFO"] == expected
    assert environ["RAW_URI"] == environ["REQUEST_URI"] == path.decode()


@pytest.mark.parametrize(
    ("line", "path", "query"),
    [
        (b"GET http://a/b?c HTTP/1.1", "/b", "c"),
        (b"OPTIONS * HTTP/1.1", "*", ""),
        (b"CONNECT a:1 HTTP/1.1", "", ""),
    ],
)
def test_other_forms_of_target(line: bytes, path: str, query: str) -> None:
    environ = environ_of(line + b"\r\nHost: a\r\n\r\n")
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == (path, query)
    assert environ["RAW_URI"] == line.split()[1].decode()


@pytest.mark.parametrize(
    ("path", "script_name", "path_info"),
    [
        (b"/app/a", "/app", "/a"),
        (b"/app", "/app", ""),
        (b"/app/", "/app", "/"),
        (b"/a", "/app", "/a"),  # a proxy has taken it off
        (b"/apple", "/app", "/apple"),
        (b"/%61pp/a", "/app", "/a"),
        (b"/a", "", "/a"),
    ],
)
def test_script_name(path: bytes, script_name: str, path_info: str) -> None:
    environ = environ_of(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path, SCRIPT_NAME=script_name)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script_name, path_info)


SPOOFS = with_fields(b"X-Forwarded-For: 1", b"X_Forwarded_For: 2", b"x_forwarded-for: 3", b"Other_One: 4")


def test_underscores_are_dropped() -> None:
    environ = environ_of(SPOOFS)
    assert environ["HTTP_X_FORWARDED_FOR"] == "1"
    assert "HTTP_OTHER_ONE" not in environ
    assert "" not in environ


def test_underscores_are_refused() -> None:
    keys = EnvironKeys("refuse")
    for _ in range(2):  # nothing is remembered of a refused name
        with pytest.raises(ProtocolError) as raised:
            make_environ(Peer(SPOOFS).exchange, template(), keys)
        assert raised.value.status == 400
    make_environ(Peer(GET).exchange, template(), keys)


def test_underscores_are_taken_where_somebody_wants_them() -> None:
    environ = environ_of(SPOOFS, "dangerous")
    assert environ["HTTP_X_FORWARDED_FOR"].replace(" ", "") == "1,2,3"
    assert environ["HTTP_OTHER_ONE"] == "4"


@pytest.mark.parametrize("header_map", ["drop", "dangerous"])
def test_content_length_is_the_wires_and_nobody_elses(header_map: str) -> None:
    environ = environ_of(with_fields(b"Content_Length: 5", b"Content_Type: a", b"Content-Type: b"), header_map)
    assert "CONTENT_LENGTH" not in environ
    assert environ["CONTENT_TYPE"] == "b"


def test_fields_cannot_pass_for_the_servers_own() -> None:
    environ = environ_of(with_fields(b"Remote-Addr: x", b"wsgi.url_scheme: https", b"REQUEST-METHOD: PUT", b"Proxy: y"))
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("127.0.0.1", "http")
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["HTTP_PROXY"] == "y"  # HTTP_: no process environment


def test_a_peer_cannot_fill_memory_with_names() -> None:
    keys = EnvironKeys("drop")
    assert keys.learn(b"x" * 8000) == "HTTP_" + "X" * 8000
    for n in range(2 * wsgi._KNOWN_AT_MOST):
        assert keys.learn(b"x-%d" % n) == f"HTTP_X_{n}"
    assert len(keys.known) == wsgi._KNOWN_AT_MOST
    assert max(map(len, keys.known)) < 100
    assert keys.learn(b"x_new") == ""


# wsgiref's own opinion


def echo(environ: dict[str, Any], start_response: Start) -> list[bytes]:
    content = environ["wsgi.input"].read(1 << 20)
    line = environ["wsgi.input"].readline()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(content + line)))])
    return [content + line]


def lines(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield from environ["wsgi.input"]


def written(environ: dict[str, Any], start_response: Start) -> list[bytes]:
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    for line in environ["wsgi.input"].readlines():
        write(line)
    return []


@pytest.mark.parametrize("application", [echo, lines, written])
@pytest.mark.parametrize("arrival", ARRIVALS.values(), ids=ARRIVALS)
def test_wsgiref_is_content(application: Callable[..., Iterable[bytes]], arrival: list[bytes]) -> None:
    peer = Peer(*arrival)
    response = peer.serve(validator(application))
    assert response.content == CONTENT
    assert peer.exchange.receiving is Receiving.DONE


@pytest.mark.parametrize(
    "octets", [GET, HEAD, with_fields(b"X: \xff", b"X: b"), b"GET http://a/%E9?b HTTP/1.0\r\n\r\n"]
)
def test_wsgiref_is_content_without_content(octets: bytes) -> None:
    peer = Peer(octets)
    assert peer.serve(validator(echo)).status == 200
