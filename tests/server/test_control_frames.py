"""The messages of the control protocol; gunicorn's own code is the other side of each."""

import json

import pytest
from gunicorn.ctl.protocol import ControlProtocol, make_request

from pyserve.server.control_frames import (
    MOST,
    CommandError,
    Frame,
    FrameError,
    Request,
    answered,
    refused,
    request,
)


def fed(octets: bytes, step: int) -> list[bytes]:
    """The messages in it, with no more read at a time than is missing."""
    frame, payloads = Frame(), []
    while octets:
        cut = min(step, frame.missing)
        payload = frame.feed(octets[:cut])
        octets = octets[cut:]
        if payload is not None:
            payloads.append(payload)
    assert not frame.begun
    return payloads


@pytest.mark.parametrize("step", [1, 3, 4, 5, 1000])
def test_messages_however_they_are_cut(step: int) -> None:
    told = [make_request(1, "show workers"), make_request(2, "worker add", [2]), make_request(3, "help")]
    octets = b"".join(map(ControlProtocol.encode_message, told))
    assert [request(payload) for payload in fed(octets, step)] == [
        Request(1, ("show", "workers")),
        Request(2, ("worker", "add", "2")),
        Request(3, ("help",)),
    ]


def test_the_longest_message() -> None:
    command = {"command": "x" * (MOST - len('{"command": ""}'))}
    (payload,) = fed(ControlProtocol.encode_message(command), 5000)
    assert request(payload).words == (command["command"],)


@pytest.mark.parametrize("length", [0, MOST + 1, 2**32 - 1])
def test_a_length_that_cannot_be(length: int) -> None:
    with pytest.raises(FrameError, match=f"from 1 to {MOST} octets, not {length}"):
        Frame().feed(length.to_bytes(4, "big"))


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff",
        b"{",
        b"[]",
        b"[" * 60000,
        b'{"id": ' + b"9" * 10000 + b"}",
        b'{"command": 1}',
        b'{"command": "help", "id": []}',
        b'{"command": "help", "args": "x"}',
        b'{"command": "help", "args": [[]]}',
    ],
)
def test_what_is_no_request(payload: bytes) -> None:
    with pytest.raises(FrameError):
        request(payload)


def test_words() -> None:
    assert request(b'{"command": " worker  \\"a dd\\" "}') == Request(0, ("worker", "a dd"))
    assert request(b'{"id": "x", "args": null}') == Request("x", ())
    with pytest.raises(CommandError, match="Invalid argument: No closing quotation"):
        request(b'{"command": "\'"}')


def test_answers() -> None:
    good, bad = answered(7, {"a": "ü"}), refused(0, "\ud800")
    assert ControlProtocol.decode_message(good) == {"id": 7, "status": "ok", "data": {"a": "ü"}}
    assert ControlProtocol.decode_message(bad) == {"id": 0, "status": "error", "error": "\ud800"}
    assert json.loads(good[4:])["id"] == 7
