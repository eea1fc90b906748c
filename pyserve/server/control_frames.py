"""The messages of gunicorn's control protocol, as its `gunicornc` speaks it.

    message = length payload        length: 4 octets, the most significant first; payload: so many octets of JSON
    request  {"id": 1, "command": "worker add", "args": ["2"]}
    answer   {"id": 1, "status": "ok", "data": {...}}
           | {"id": 1, "status": "error", "error": "why"}

A client sends the next request when it has its answer. No request of a person comes near `MOST`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

MOST: Final = 65536
"""Octets of a request's payload; gunicorn takes 16 MiB."""

_PREFIX: Final = 4


class FrameError(Exception):
    """What came is no request, and nothing that follows can be told from it."""


class CommandError(Exception):
    """There is no such command, or not with such words. The text is for the person who typed it."""


@dataclass(frozen=True, slots=True)
class Request:
    """words: the command and its arguments as a shell would cut them. id: given back with the answer."""

    id: int | str
    words: tuple[str, ...]


class Frame:
    """Takes one message after the other. The caller reads no more than `missing` octets at a time: so what is behind a
    message stays in the kernel until that one is answered."""

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes = b"") -> None:
        """octets: what is here of the message, by the `octets` of another frame."""
        self._octets = bytearray(octets)

    @property
    def octets(self) -> bytes:
        return bytes(self._octets)

    @property
    def begun(self) -> bool:
        """Whether a part of a message is here."""
        return bool(self._octets)

    @property
    def missing(self) -> int:
        """How many octets the message, or its length, still needs; at least 1."""
        return self._whole() - len(self._octets)

    def feed(self, octets: bytes) -> bytes | None:
        """The payload, once it is complete. FrameError for one that is too long, or empty."""
        self._octets += octets
        if len(self._octets) == _PREFIX and not _PREFIX < self._whole() <= _PREFIX + MOST:
            raise FrameError(f"a message has from 1 to {MOST} octets, not {self._length()}")
        if self.missing:
            return None
        payload = bytes(self._octets[_PREFIX:])
        self._octets.clear()
        return payload

    def _whole(self) -> int:
        return _PREFIX if len(self._octets) < _PREFIX else _PREFIX + self._length()

    def _length(self) -> int:
        return int.from_bytes(self._octets[:_PREFIX], "big")


def request(payload: bytes) -> Request:
    """FrameError for what is no such JSON object; CommandError for a command that no shell could cut."""
    try:
        told = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise FrameError("a message is a JSON object") from error
    if not isinstance(told, dict):
        raise FrameError("a message is a JSON object")
    id, command, arguments = told.get("id", 0), told.get("command", ""), told.get("args") or []
    if not isinstance(id, int | str) or not isinstance(command, str) or not _are_words(arguments):
        raise FrameError("id is a number, command a text, args a list of texts")
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise CommandError(f"Invalid argument: {error}") from error
    return Request(id, (*words, *map(str, arguments)))


def _are_words(arguments: object) -> bool:
    return isinstance(arguments, list) and all(isinstance(one, int | str) for one in arguments)


def answered(id: int | str, data: Mapping[str, Any]) -> bytes:
    return _encode({"id": id, "status": "ok", "data": data})


def refused(id: int | str, why: str) -> bytes:
    return _encode({"id": id, "status": "error", "error": why})


def _encode(message: Mapping[str, Any]) -> bytes:
    payload = json.dumps(message).encode("ascii")
    return len(payload).to_bytes(_PREFIX, "big") + payload
