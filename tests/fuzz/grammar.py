"""Streams of requests out of the grammar of RFC 9112, good ones and nearly good ones, and mutants of a corpus.

Every choice is asked of a `random.Random`: of one with a seed in a loop of our own, of one that hypothesis steers and
shrinks (`st.randoms`), of one that reads a fuzzer's octets.
"""

from itertools import pairwise
from random import Random

from tests.fuzz import words

_APART = 40  # choices at most between two bad ones, where there are to be some


class Writer:
    """Writes messages, choice by choice. damage: how many choices may be bad ones, as far as there are so many."""

    def __init__(self, random: Random, damage: int) -> None:
        self.random = random
        self.damage = damage
        self._wait = random.randrange(_APART)

    def _is_bad(self) -> bool:
        self._wait -= 1
        if not self.damage or self._wait >= 0:
            return False
        self.damage -= 1
        self._wait = self.random.randrange(_APART)
        return True

    def either(self, good: list[bytes], bad: list[bytes]) -> bytes:
        return self.random.choice(bad if self._is_bad() else good)

    def line_end(self) -> bytes:
        return self.either([b"\r\n"], words.LINE_ENDS)

    def chance(self, one_in: int) -> bool:
        return not self.random.randrange(one_in)

    def message(self) -> bytes:
        """One request: request line, field lines, content."""
        random = self.random
        if self.chance(12):
            method, target = (
                b"CONNECT",
                self.either([b"a:443", b"[::1]:1", b"a:00001"], [b"a", b"/", b":1", b"a:", b"a:x"]),
            )
        elif self.chance(12):
            method, target = b"OPTIONS", b"*"
        else:
            method, target = (
                self.either(words.METHODS, words.BAD_METHODS),
                self.either(words.TARGETS, words.BAD_TARGETS),
            )
        version = self.either(words.VERSIONS, words.BAD_VERSIONS)
        blank = self.either([b" "], [b"  ", b"\t", b"", b"\x0b", b"\xa0"])
        line = method + blank + target + b" " + version + self.line_end()
        framing, content = self.content()
        lines = framing + [self.field() for _ in range(random.choice([0, 0, 1, 2, 4, 7]))]
        if not self._is_bad():
            host = self.either(words.HOSTS, words.BAD_HOSTS)
            lines.append(self.line(b"Host", b"a" if b"://" in target and not self.chance(8) else host))
        if self.chance(3):
            lines.append(self.line(b"Connection", random.choice(words.CONNECTIONS)))
        if self.chance(6):
            lines.append(self.line(b"Expect", random.choice(words.EXPECTATIONS[: 6 if self.damage else 3])))
        lines += [line for line in lines if self._is_bad()]
        random.shuffle(lines)
        before = self.either([b""] * 5 + [b"\r\n"], [b"\r\n\r\n", b"\n", b"\r", b" "])
        return before + line + b"".join(lines) + self.line_end() + content

    def field(self) -> bytes:
        return self.line(self.either(words.NAMES, words.BAD_NAMES), self.either(words.VALUES, words.BAD_VALUES))

    def line(self, name: bytes, value: bytes) -> bytes:
        """A field line; the case of names and the blanks around values are anything."""
        random = self.random
        name = random.choice([name, name, name.lower(), name.upper()])
        colon = self.either([b":"], [b" :", b"\t:", b"", b"::", b"\0:"])
        return name + colon + random.choice(words.BLANKS) + value + random.choice(words.BLANKS) + self.line_end()

    def content(self) -> tuple[list[bytes], bytes]:
        """Framing fields, and the content that goes with them."""
        kind = self.random.randrange(3)
        if kind == 0:
            return [], b""
        if kind == 1 or self._is_bad():
            length = self.either(words.LENGTHS, words.BAD_LENGTHS)
            digits = bytes(octet for octet in length if octet in b"0123456789")
            size = min(int(digits or b"0"), 200) + (self.random.randrange(-2, 3) if self._is_bad() else 0)
            lines = [self.line(b"Content-Length", length)]
            if self._is_bad():
                lines.append(self.line(b"Transfer-Encoding", self.either(words.CODINGS, words.BAD_CODINGS)))
            return lines, self.octets(size)
        return [self.line(b"Transfer-Encoding", self.either(words.CODINGS, words.BAD_CODINGS))], self.chunks()

    def octets(self, size: int) -> bytes:
        """Content: letters, or what looks like the end of something."""
        unit = self.random.choice([b"a", b"a", b"\r\n", b"0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\0\xff"])
        return (unit * (size // len(unit) + 1))[: max(size, 0)]

    def chunks(self) -> bytes:
        random = self.random
        pieces = []
        longest = self.chance(300)  # about as many extensions as one content may have
        for _ in range(random.choice([15, 16, 17]) if longest else random.choice([0, 1, 1, 2, 5])):
            size = random.choice([1, 2, 5, 10, 17, 90])
            digits = random.choice([b"%x", b"%X", b"00%x"]) % size
            digits = self.either(
                [digits], [b"+" + digits, b"0x" + digits, b" " + digits, b"g", b"", b"-1", b"0" * 14 + digits]
            )
            extension = b";" + b"a" * random.choice([960, 1000]) if longest else self.extension()
            pieces.append(digits + extension + self.line_end())
            size += random.randrange(-1, 3) if self._is_bad() else 0
            pieces.append(self.octets(size) + self.line_end())
        pieces.append(
            self.either([b"0", b"0", b"000"], [b"", b"00_0", b"-0", b"0" * 16]) + self.extension() + self.line_end()
        )
        pieces += [
            self.either(words.TRAILERS, words.BAD_TRAILERS) + self.line_end()
            for _ in range(random.choice([0, 0, 0, 1, 2, 7]))
        ]
        return b"".join(pieces) + self.line_end()

    def extension(self) -> bytes:
        return (
            self.either(words.EXTENSIONS, words.BAD_EXTENSIONS)
            if self.chance(5)
            else self.either([b""], words.BAD_EXTENSIONS)
        )


def stream(random: Random) -> bytes:
    """What one client sends: some requests, of which one may be damaged, and perhaps not to the end."""
    damage = random.choice([0, 0, 1, 1, 2, 4])
    writer = Writer(random, damage)
    octets = b"".join(writer.message() for _ in range(random.choice([1, 1, 2, 3])))
    if not random.randrange(6):
        octets = octets[: random.randrange(len(octets) + 1)]
    return octets


def mutant(random: Random, corpus: list[bytes]) -> bytes:
    """A stream of the corpus, or two joined, with some octets cut out, put in, repeated, changed or moved."""
    octets = random.choice(corpus)
    if not random.randrange(4):
        other = random.choice(corpus)
        octets = octets[: random.randrange(len(octets) + 1)] + other[random.randrange(len(other) + 1) :]
    for _ in range(random.choice([1, 1, 2, 3, 6])):
        start = random.randrange(len(octets) + 1)
        stop = min(len(octets), start + random.choice([0, 0, 1, 1, 2, 4, 8, 30]))
        taken = octets[start:stop]
        way = random.randrange(5)
        if way == 0:
            taken = random.choice(words.CUT_IN)
        elif way == 1:
            taken += random.choice(words.CUT_IN)
        elif way == 2:
            taken *= random.choice([0, 2, 3])
        elif way == 3:
            taken = bytes(octet ^ 1 << random.randrange(8) for octet in taken)
        else:
            taken = taken.swapcase()
        octets = octets[:start] + taken + octets[stop:]
    return octets


def cut(random: Random, octets: bytes) -> list[bytes]:
    """The same octets in pieces: many, or few of which some are at the ends of lines."""
    size = len(octets)
    if size < 2:
        return [octets]
    if not random.randrange(3):
        return [octets[i : i + 1] for i in range(size)]
    at = {random.randrange(1, size) for _ in range(random.choice([1, 1, 2, 3, 8]))}
    end = octets.find(b"\r\n", random.randrange(size))
    if end > 0:
        at.add(end + random.randrange(3))
    edges = [0, *sorted(place for place in at if place < size), size]
    return [octets[i:j] for i, j in pairwise(edges)]


def good_stream(random: Random) -> bytes:
    """Some requests without a mistake."""
    writer = Writer(random, 0)
    return b"".join(writer.message() for _ in range(random.choice([1, 1, 2, 3])))
