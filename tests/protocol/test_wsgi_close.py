"""WSGI: close(), errors and files (PEP 3333)."""

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from pyserve.protocol.errors import ApplicationError, Disconnected
from pyserve.protocol.exchange import FileSpan, Sending
from pyserve.protocol.wsgi import FileWrapper
from tests.protocol.wsgi_peer import CHUNKED, GET, HEAD, Peer, Start

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
