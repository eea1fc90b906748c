"""WSGI (PEP 3333), with a driver whose waiting is a list of what comes next."""

import gc
import io
import itertools
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.validate import validator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyserve.protocol import wsgi
from pyserve.protocol.errors import ApplicationError, Disconnected, ProtocolError
from pyserve.protocol.exchange import Exchange, FileSpan, Receiving, Sending
from pyserve.protocol.http1 import Http1Wire, WireConfig
from pyserve.protocol.parsers import PARSERS
from pyserve.protocol.wsgi import EnvironKeys, FileWrapper, Input, make_environ, serve
from tests.protocol.conversation import LIMITS, Response, read_responses

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"


class Peer:
    """A driver: `fill` hands the wire the next piece, `flush` notes what left together."""

    def __init__(self, octets: bytes = GET, *pieces: bytes | None) -> None:
        """pieces: what comes later, None for the peer's end."""
        self.wire = Http1Wire(WireConfig(LIMITS, PARSERS["httptools"]))
        exchange = self.wire.receive(octets)
        assert exchange is not None
        self.exchange: Exchange = exchange
        self.pieces = list(pieces)
        self.flushed: list[bytes] = []
        self.spans: list[FileSpan] = []
        self.files: list[Any] = []
        self.lost = False

    def flush(self) -> None:
        if self.lost:
            self.wire.lose()
            raise Disconnected("reset")
        octets = b""
        for data in self.wire.out:
            octets += b"f" * data.count if isinstance(data, FileSpan) else data
        self.wire.out.clear()
        self.flushed.append(octets)

    def fill(self) -> None:
        piece = self.pieces.pop(0)  # nothing left to wait for is the test's mistake, or the gateway's
        if piece is None:
            self.wire.receive_eof()
        else:
            self.wire.receive(piece)

    def span(self, file: Any) -> FileSpan | None:
        self.files.append(file)
        return self.spans.pop() if self.spans else None

    def serve(self, application: Callable[..., Iterable[bytes]], **environ: Any) -> Response:
        serve(application, make(self.exchange, **environ), self.exchange, self)
        self.flush()
        return self.response

    @property
    def response(self) -> Response:
        [response] = read_responses(b"".join(self.flushed), [self.exchange.method], self.wire.closing)
        return response


def template(**more: Any) -> dict[str, Any]:
    return {
        "SCRIPT_NAME": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.input_terminated": True,
        **more,
    }


def make(exchange: Exchange, header_map: str = "drop", **more: Any) -> dict[str, Any]:
    return make_environ(exchange, template(**more), EnvironKeys(header_map))


def environ_of(octets: bytes, header_map: str = "drop", **more: Any) -> dict[str, Any]:
    return make(Peer(octets).exchange, header_map, **more)


def with_fields(*lines: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


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
    for n in range(2 * wsgi._KNOWN_AT_MOST):
        assert keys[b"x-%d" % n] == f"HTTP_X_{n}"
    assert len(keys) == wsgi._KNOWN_AT_MOST
    assert keys[b"x_new"] == ""


# wsgi.input

LENGTH_9 = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
# The content is always ab\ncd\n\nef; it comes whole, in pieces, octet by octet, by length and by chunks.
ARRIVALS = {
    "length, whole": [LENGTH_9 + b"ab\ncd\n\nef"],
    "length, later": [LENGTH_9, b"ab\ncd\n\nef"],
    "length, in pieces": [LENGTH_9 + b"a", b"b\ncd", b"\n\n", b"ef"],
    "length, by octets": [LENGTH_9, *(b"%c" % octet for octet in b"ab\ncd\n\nef")],
    "length, with a request behind": [LENGTH_9 + b"ab\ncd\n\nef" + GET],
    "chunks, whole": [CHUNKED + b"4\r\nab\nc\r\n5;x\r\nd\n\nef\r\n0\r\nT: t\r\n\r\n"],
    "chunks, later": [CHUNKED, b"9\r\nab\ncd\n\nef\r\n0\r\n\r\n"],
    "chunks, the end later": [CHUNKED + b"9\r\nab\ncd\n\nef", b"\r\n", b"0\r\n", b"\r\n"],
    "chunks, by octets": [CHUNKED, *(b"%c" % octet for octet in b"3\r\nab\n\r\n6\r\ncd\n\nef\r\n0\r\n\r\n")],
}
CONTENT = b"ab\ncd\n\nef"

Read = Callable[[Any], Any]
READS: list[tuple[str, Read]] = [
    ("read()", lambda file: file.read()),
    ("read(None)", lambda file: file.read(None)),
    ("read(-1) twice", lambda file: (file.read(-1), file.read(-1))),
    ("read(0)", lambda file: (file.read(0), file.read())),
    ("read(4)", lambda file: (file.read(4), file.read(4), file.read(4), file.read(4))),
    ("read(9)", lambda file: (file.read(9), file.read(1), file.read())),
    ("read(10)", lambda file: file.read(10)),
    ("read(1) until the end", lambda file: list(iter(lambda: file.read(1), b""))),
    ("readline()", lambda file: [file.readline() for _ in range(6)]),
    ("readline(None)", lambda file: [file.readline(None) for _ in range(6)]),
    ("readline(2)", lambda file: [file.readline(2) for _ in range(8)]),
    ("readline(3)", lambda file: [file.readline(3) for _ in range(6)]),
    ("readline(0)", lambda file: (file.readline(0), file.readline())),
    ("readline(100)", lambda file: [file.readline(100) for _ in range(5)]),
    ("readline and read", lambda file: (file.readline(), file.read(2), file.readline(), file.read())),
    ("readlines()", lambda file: file.readlines()),
    ("readlines(None)", lambda file: file.readlines(None)),
    ("readlines(0)", lambda file: file.readlines(0)),
    ("readlines(1)", lambda file: (file.readlines(1), file.readlines(4), file.readlines(), file.readlines())),
    ("readlines(6)", lambda file: file.readlines(6)),
    ("iteration", lambda file: list(file)),
    ("some iteration", lambda file: (next(iter(file)), next(iter(file)), file.read())),
]


@pytest.mark.parametrize("arrival", ARRIVALS.values(), ids=ARRIVALS)
@pytest.mark.parametrize("read", [r[1] for r in READS], ids=[r[0] for r in READS])
def test_input_reads_as_a_file_does(read: Read, arrival: list[bytes]) -> None:
    peer = Peer(*arrival)
    assert read(Input(peer.exchange, peer)) == read(io.BytesIO(CONTENT))


@given(st.lists(st.tuples(st.sampled_from(["read", "readline", "readlines"]), st.integers(-1, 12) | st.none())))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_input_reads_as_a_file_does_in_any_order(calls: list[tuple[str, int | None]]) -> None:
    for arrival in ARRIVALS.values():
        peer = Peer(*arrival)
        file, reference = Input(peer.exchange, peer), io.BytesIO(CONTENT)
        for name, size in calls:
            assert getattr(file, name)(size) == getattr(reference, name)(size), (name, size)


def test_input_waits_for_no_more_than_it_needs() -> None:
    peer = Peer(LENGTH_9 + b"ab\nc", b"d", b"\n", b"\nef")
    file = Input(peer.exchange, peer)
    assert file.readline() == b"ab\n"
    assert file.read(1) == b"c"
    assert len(peer.pieces) == 3
    assert file.read(1) == b"d"
    assert len(peer.pieces) == 2
    assert file.readline() == b"\n"
    assert len(peer.pieces) == 1


@pytest.mark.parametrize("octets", [GET, LENGTH_9.replace(b"9", b"0"), CHUNKED + b"0\r\n\r\n"])
def test_input_without_content(octets: bytes) -> None:
    peer = Peer(octets)
    file = Input(peer.exchange, peer)
    assert (file.read(), file.read(5), file.readline(), file.readlines(), list(file)) == (b"", b"", b"", [], [])


@pytest.mark.parametrize(
    ("octets", "bad"), [(LENGTH_9, None), (CHUNKED + b"9\r\n", None), (CHUNKED + b"4\r\n", b"\r\nx\r\n")]
)
@pytest.mark.parametrize("name", ["read", "readline", "readlines"])
def test_truncated_content_never_looks_whole(octets: bytes, bad: bytes | None, name: str) -> None:
    peer = Peer(octets, b"abcd", bad)
    with pytest.raises(Disconnected):
        getattr(Input(peer.exchange, peer), name)()
    peer = Peer(octets, b"abcd", bad)
    file = Input(peer.exchange, peer)
    assert file.read(4) == b"abcd"  # what has come may be read
    for _ in range(2):
        with pytest.raises(OSError):
            getattr(file, name)()


# start_response


Start = Callable[..., Callable[[bytes], None]]


def test_a_list_of_one_block_gets_a_length() -> None:
    peer = Peer()
    response = peer.serve(hello)
    assert response.content == b"hello"
    assert response[b"content-length"] == b"5"
    assert peer.flushed == [b"".join(peer.flushed)]  # in one piece


@pytest.mark.parametrize("result", [[], (), [b""], [b"a", b"", b"b"], (b"a", b"b")])
def test_what_is_all_at_hand_gets_a_length(result: Any) -> None:
    def application(environ: Any, start_response: Start) -> Any:
        start_response("200 OK", [])
        return result

    response = Peer().serve(application)
    assert response.content == b"".join(result)
    assert response[b"content-length"] == b"%d" % len(b"".join(result))


def test_blocks_are_sent_without_delay() -> None:
    """PEP 3333, "Buffering and Streaming": each before the next is asked for."""
    peer = Peer()
    flushed_before = []

    def application(environ: Any, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [])
        for block in (b"one", b"", b"two", b"three"):
            yield block
            flushed_before.append(len(peer.flushed))

    response = peer.serve(application)
    assert flushed_before == [1, 1, 2, 3]
    assert response.content == b"onetwothree"
    assert response[b"transfer-encoding"] == b"chunked"
    assert peer.flushed[0].endswith(b"3\r\none\r\n")


def test_start_response_may_be_late() -> None:
    def application(environ: Any, start_response: Start) -> Iterator[bytes]:
        yield b""
        start_response("200 OK", [])
        yield b"a"

    assert Peer().serve(application).content == b"a"


def test_write() -> None:
    peer = Peer()

    def application(environ: Any, start_response: Start) -> list[bytes]:
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"one")
        assert len(peer.flushed) == 1
        write(b"")
        write(b"two")
        assert len(peer.flushed) == 3 - 1
        return [b"three"]

    assert peer.serve(application).content == b"onetwothree"


def test_write_with_a_length() -> None:
    def application(environ: Any, start_response: Start) -> list[bytes]:
        write = start_response("200 OK", [("Content-Length", "6")])
        write(b"one")
        write(b"two")
        return []

    peer = Peer()
    assert peer.serve(application).content == b"onetwo"
    assert not peer.wire.closing


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [("200 OK", 200, b"OK"), ("404 Nicht da \xe4", 404, b"Nicht da \xe4"), ("299", 299, b""), ("500 ", 500, b"")],
)
def test_statuses(status: str, code: int, reason: bytes) -> None:
    for _ in range(2):  # met before, and not
        peer = Peer()

        def application(environ: Any, start_response: Start) -> list[bytes]:
            start_response(status, [])
            return [b"a"]

        response = peer.serve(application)
        assert (response.status, response.reason) == (code, reason)


BAD_STARTS: list[tuple[str, Any, Any]] = [
    ("bytes", b"200 OK", []),
    ("a number", 200, []),
    ("None", None, []),
    ("empty", "", []),
    ("no code", "OK", []),
    ("two digits", "20 OK", []),
    ("four digits", "2000 OK", []),
    ("no space", "200OK", []),
    ("a sign", "+20 OK", []),
    ("other digits", "\u0662\u0660\u0660 OK", []),
    ("1xx", "100 Continue", []),
    ("101", "101 Switching Protocols", []),
    ("600", "600 Beyond", []),
    ("CR LF in the reason", "200 OK\r\nInjected: a", []),
    ("NUL in the reason", "200 O\0K", []),
    ("not latin-1", "200 \u20ac", []),
    ("headers None", "200 OK", None),
    ("bytes in headers", "200 OK", [(b"A", b"b")]),
    ("a name alone", "200 OK", [("A",)]),
    ("three", "200 OK", [("A", "b", "c")]),
    ("a number", "200 OK", [("Content-Length", 5)]),
    ("name not latin-1", "200 OK", [("\u20ac", "a")]),
    ("value not latin-1", "200 OK", [("A", "\u20ac")]),
    ("CR LF in a value", "200 OK", [("A", "b\r\nInjected: a")]),
    ("LF in a value", "200 OK", [("A", "b\nc")]),
    ("NUL in a value", "200 OK", [("A", "\0")]),
    ("a bad name", "200 OK", [("A b", "c")]),
    ("a colon in a name", "200 OK", [("A:", "c")]),
    ("no name", "200 OK", [("", "c")]),
    ("a bad length", "200 OK", [("Content-Length", "x")]),
    ("two lengths", "200 OK", [("Content-Length", "1"), ("content-length", "1")]),
]


@pytest.mark.parametrize(("status", "headers"), [pytest.param(*b[1:], id=b[0]) for b in BAD_STARTS])
def test_what_start_response_refuses(status: Any, headers: Any) -> None:
    peer = Peer()

    def application(environ: Any, start_response: Start) -> list[bytes]:
        with pytest.raises(ApplicationError):
            start_response(status, headers)
        start_response("200 OK", [("A", "b")])  # nothing of it remains
        return [b"a"]

    response = peer.serve(application)
    assert response.fields == ((b"a", b"b"), (b"content-length", b"1"))


def test_start_response_is_called_once() -> None:
    def application(environ: Any, start_response: Start) -> list[bytes]:
        start_response("200 OK", [])
        start_response("200 OK", [])
        return []

    with pytest.raises(ApplicationError, match="exc_info"):
        Peer().serve(application)


def test_start_response_is_called_before_data() -> None:
    def application(environ: Any, start_response: Start) -> list[bytes]:
        return [b"a"]

    with pytest.raises(ApplicationError):
        Peer().serve(application)


def test_exc_info_replaces_the_head() -> None:
    def application(environ: Any, start_response: Start) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "100"), ("X", "1"), ("Date", "then")])
        try:
            raise ValueError
        except ValueError:
            start_response("500 Oops", [("Content-Type", "text/plain")], sys.exc_info())
        return [b"failed"]

    response = Peer().serve(application)
    assert (response.status, response.reason, response.content) == (500, b"Oops", b"failed")
    assert response.fields == ((b"content-type", b"text/plain"), (b"content-length", b"6"))


def test_exc_info_is_raised_when_the_head_has_left() -> None:
    error = ValueError("mine")

    def application(environ: Any, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        try:
            raise error
        except ValueError:
            start_response("500 Oops", [], sys.exc_info())

    peer = Peer()
    with pytest.raises(ValueError, match="mine") as raised:
        peer.serve(application)
    assert raised.value is error
    assert peer.exchange.status == 200


def test_exc_info_makes_no_cycle() -> None:
    """PEP 3333: the frame of start_response must not keep the traceback that holds it."""

    class Mine(Exception):
        pass

    remembered: list[weakref.ref[Mine]] = []

    def application(environ: Any, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        try:
            raise Mine
        except Mine as error:
            remembered.append(weakref.ref(error))
            start_response("500 Oops", [], sys.exc_info())

    gc.disable()
    try:
        try:
            Peer().serve(application)
        except Mine:
            pass
        assert remembered[0]() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("result", [["a"], [bytearray(b"a")], "abc", b"abc", [None], [b"a", "b"], iter(["a"]), [5]])
def test_blocks_are_bytes(result: Any) -> None:
    def application(environ: Any, start_response: Start) -> Any:
        start_response("200 OK", [])
        return result

    with pytest.raises(ApplicationError, match="bytes"):
        Peer().serve(application)


def test_write_takes_bytes() -> None:
    def application(environ: Any, start_response: Start) -> list[bytes]:
        start_response("200 OK", [])("text")  # type: ignore[arg-type]
        return []

    with pytest.raises(ApplicationError, match="bytes"):
        Peer().serve(application)


def test_too_much_is_cut_and_not_asked_for() -> None:
    asked = []

    def application(environ: Any, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "3")])
        for n in itertools.count():
            asked.append(n)
            yield b"ab"

    peer = Peer()
    assert peer.serve(application).content == b"aba"
    assert len(asked) == 2
    assert "Content-Length" in peer.exchange.complaint


def test_nothing_is_read_of_a_body_for_head() -> None:
    asked = []

    def application(environ: Any, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "6")])
        for block in (b"abc", b"def"):
            asked.append(block)
            yield block

    peer = Peer(HEAD)
    response = peer.serve(application)
    assert (response.content, response[b"content-length"]) == (b"", b"6")
    assert asked == [b"abc"]
    assert not peer.wire.closing


# close()


class Body:
    """An iterable that counts how often it is closed."""

    def __init__(self, blocks: Iterable[Any]) -> None:
        self.blocks = blocks
        self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        return iter(self.blocks)

    def close(self) -> None:
        self.closed += 1


def failing() -> Iterator[bytes]:
    yield b"a"
    raise ValueError("mine")


OUTCOMES: list[tuple[str, bytes, Callable[[], Iterable[Any]], str, bool, type[BaseException] | None]] = [
    ("whole", GET, lambda: [b"a", b"b"], "200 OK", False, None),
    ("empty", GET, list, "200 OK", False, None),
    ("no content", GET, lambda: [b"a"], "204 No Content", False, None),
    ("HEAD", HEAD, lambda: [b"a", b"b"], "200 OK", False, None),
    ("too much", GET, lambda: [b"a" * 9, b"b"], "200 OK", False, None),
    ("raises", GET, failing, "200 OK", False, ValueError),
    ("not iterable", GET, lambda: None, "200 OK", False, TypeError),  # type: ignore[arg-type, return-value]
    ("not bytes", GET, lambda: ["a"], "200 OK", False, ApplicationError),
    ("no start_response", GET, lambda: [b"a"], "", False, ApplicationError),
    ("the peer has gone", GET, lambda: [b"a", b"b"], "200 OK", True, Disconnected),
]


@pytest.mark.parametrize(
    ("octets", "blocks", "status", "lost", "error"), [pytest.param(*o[1:], id=o[0]) for o in OUTCOMES]
)
def test_close_is_called_exactly_once(
    octets: bytes, blocks: Any, status: str, lost: bool, error: type[BaseException] | None
) -> None:
    body = Body(blocks())
    peer = Peer(octets)
    peer.lost = lost

    def application(environ: Any, start_response: Start) -> Body:
        if status:
            start_response(status, [("Content-Length", "8")] if blocks is not list else [])
        return body

    if error is None:
        peer.serve(application)
    else:
        with pytest.raises(error):
            peer.serve(application)
    assert body.closed == 1


def test_a_generator_is_closed() -> None:
    closed = []

    def application(environ: Any, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "1")])
        try:
            while True:
                yield b"abc"
        finally:
            closed.append(True)

    Peer().serve(application)
    assert closed == [True]


def test_the_application_raises() -> None:
    def application(environ: Any, start_response: Start) -> list[bytes]:
        raise ValueError("mine")

    peer = Peer()
    with pytest.raises(ValueError, match="mine"):
        peer.serve(application)
    assert peer.exchange.sending is Sending.HEAD  # the driver's to answer


def test_an_error_of_close_passes_through() -> None:
    class Closing(Body):
        def close(self) -> None:
            raise ValueError("mine")

    def application(environ: Any, start_response: Start) -> Body:
        start_response("200 OK", [])
        return Closing([b"a"])

    peer = Peer()
    with pytest.raises(ValueError, match="mine"):
        peer.serve(application)
    assert peer.exchange.sending is Sending.DONE


def test_an_error_answered_by_the_server_is_nobodys_fault() -> None:
    """The content is malformed, which is answered while the application reads; what it says then is too late."""

    def application(environ: Any, start_response: Start) -> list[bytes]:
        try:
            environ["wsgi.input"].read()
        except OSError:
            start_response("500 Oops", [], sys.exc_info())
        return [b"a"]

    peer = Peer(CHUNKED, b"x\r\n")
    with pytest.raises(Disconnected):
        peer.serve(application)
    peer.flush()
    assert peer.response.status == 400


# wsgi.file_wrapper


class OpenFile(io.BytesIO):
    closes = 0

    def close(self) -> None:
        self.closes += 1
        super().close()


def file_application(file: Any, *more: Any) -> Callable[..., Any]:
    def application(environ: Any, start_response: Start) -> Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](file, *more)

    return application


def test_a_file_that_is_none_is_sent_in_blocks() -> None:
    file = OpenFile(b"abcdefgh")
    file.read(1)
    peer = Peer()
    assert peer.serve(file_application(file, 3)).content == b"bcdefgh"
    assert peer.files == [file]
    assert len([each for each in peer.flushed if each]) == 4
    assert file.closes == 1


def test_a_plain_file_is_sent_as_a_span() -> None:
    file = OpenFile(b"not read")
    peer = Peer()
    closed: list[int] = []
    peer.spans.append(FileSpan(3, 0, 8, lambda: closed.append(1)))
    response = peer.serve(file_application(file))
    assert response.content == b"f" * 8
    assert response[b"content-length"] == b"8"
    assert file.closes == 1
    assert closed == []


def test_what_has_no_close_needs_none() -> None:
    class Bare:
        def __init__(self) -> None:
            self.blocks = [b"abc", b"de", b""]

        def read(self, size: int) -> bytes:
            assert size == 65536
            return self.blocks.pop(0)

    wrapper = FileWrapper(Bare())
    assert not hasattr(wrapper, "close")
    assert list(wrapper) == [b"abc", b"de"]


def test_a_wrapped_wrapper_is_iterated() -> None:
    """Middleware may put the file into an iterator of its own."""
    inner = file_application(OpenFile(b"abc"))

    def application(environ: Any, start_response: Start) -> Any:
        return (block.upper() for block in inner(environ, start_response))

    peer = Peer()
    assert peer.serve(application).content == b"ABC"
    assert peer.files == []


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
