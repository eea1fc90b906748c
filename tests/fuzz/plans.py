"""What an application does, drawn by chance: a response, well formed or not, and how it reads, fails and leaves."""

from dataclasses import dataclass, replace
from random import Random

Fields = list[tuple[bytes, bytes]]

STATUSES = [200] * 6 + [201, 204, 205, 206, 299, 304, 400, 404, 417, 500, 503, 599]
BAD_STATUSES = [0, 99, 100, 101, 103, 199, 600, 999]
NAMES = [b"X", b"Content-Type", b"Set-Cookie", b"ETag", b"Vary", b"x-own", b"Trailer", b"Date", b"Server"]
VALUES = [b"", b"y", b"a, b", b"\xe9", b"a\tb", b" a ", b"a" * 100, b"a: b", b'"']
BAD_FIELDS = [
    (b"", b"y"), (b"X ", b"y"), (b"X:", b"y"), (b"X\r\nY", b"y"), (b"X\xe9", b"y"),
    (b"X", b"a\r\nY: b"), (b"X", b"a\nb"), (b"X", b"a\rb"), (b"X", b"\0"), (b"X", b"\r\n"), (b"X", b"a\r\n b"),
    (b"X", b"\x0b"), (b"X", b"a\x01"), (b"X", b"\x7f"),
    (b"Content-Length", b""), (b"Content-Length", b"-1"), (b"content-length", b"1, 1"), (b"Content-Length", b"+1"),
    (b"Content-Length", b" 1"), (b"Content-Length", b"0x1"), (b"Content-Length", b"9" * 5000),
]  # fmt: skip
# Fields that are the server's own business: taken, and not sent on.
HOP_FIELDS = [
    (b"Connection", b"keep-alive"), (b"connection", b"close"), (b"Connection", b"X, Close"), (b"Connection", b"TE"),
    (b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"gzip"), (b"Keep-Alive", b"timeout=1"), (b"TE", b"x"),
    (b"Upgrade", b"h2c"), (b"Proxy-Connection", b"close"),
]  # fmt: skip
NOT_IN_TRAILERS = [(b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked"), (b"connection", b"close")]
# Sizes of pieces: some, and those about which copies and joins are decided.
SIZES = [0, 0, 1, 2, 5, 5, 10, 17, 100, 2047, 2048, 2049, 16383, 16384, 16385, 70000]
EVERYTHING = -1


class Failure(Exception):
    """The application's own."""


@dataclass(frozen=True)
class Plan:
    """One application's behaviour towards one request.

    waits: for the whole request, as a thread worker does. reads: octets of content that it reads before it answers,
    -1 for all. hints: early hints before the response. declared: its Content-Length, among the fields. trailers: None
    for no such message. fails: where it raises `Failure`, as the number of things that it has sent before.
    style: which of the ways that an interface leaves. bad: which part holds what no server may send, "" for none.
    """

    waits: bool
    reads: int
    hints: tuple[Fields, ...]
    status: int
    fields: Fields
    declared: int | None
    pieces: tuple[bytes, ...]
    trailers: Fields | None
    fails: int | None
    style: int
    bad: str

    @property
    def content(self) -> bytes:
        return b"".join(self.pieces)


def draw(random: Random) -> Plan:
    """Any plan."""
    pieces = tuple(_octets(random, random.choice(SIZES)) for _ in range(random.choice([0, 1, 1, 1, 2, 3, 6])))
    fields = [_field(random) for _ in range(random.choice([0, 1, 1, 2, 5]))]
    plan = Plan(
        waits=bool(random.randrange(3)),
        reads=random.choice([0, 0, 1, 5, EVERYTHING, EVERYTHING]),
        hints=tuple([_field(random)] for _ in range(random.choice([0] * 6 + [1, 2]))),
        status=random.choice(STATUSES),
        fields=fields,
        declared=None,
        pieces=pieces,
        trailers=[_field(random) for _ in range(random.randrange(3))] if not random.randrange(4) else None,
        fails=random.randrange(6) if not random.randrange(8) else None,
        style=random.randrange(4),
        bad="",
    )
    if not random.randrange(3):
        declared = max(0, len(plan.content) + random.choice([0, 0, 0, 0, -1, 1, -5, 100]))
        plan = replace(plan, declared=declared)
        name = random.choice([b"Content-Length", b"content-length"])
        fields.insert(random.randrange(len(fields) + 1), (name, b"%d" % declared))
    if not random.randrange(6):
        fields.insert(random.randrange(len(fields) + 1), random.choice(HOP_FIELDS))
    if not random.randrange(10):
        plan = _spoil(random, plan)
    return plan


def _octets(random: Random, size: int) -> bytes:
    unit = random.choice([b"a", b"\r\n", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
    return (unit * (size // len(unit) + 1))[:size]


def _field(random: Random) -> tuple[bytes, bytes]:
    return random.choice(NAMES), random.choice(VALUES)


def _spoil(random: Random, plan: Plan) -> Plan:
    """Put something into it that no server may send."""
    way = random.randrange(4)
    bad = random.choice(BAD_FIELDS)
    if way == 0:
        return replace(plan, status=random.choice(BAD_STATUSES), bad="head")
    if way == 1:
        return replace(plan, fields=[*plan.fields, bad], bad="head")
    if way == 2 and plan.trailers is not None:
        return replace(plan, trailers=[*plan.trailers, random.choice([*BAD_FIELDS, *NOT_IN_TRAILERS])], bad="trailers")
    return replace(plan, hints=([bad],), bad="hints")
