"""A stream of octets that does not come to what it should, as a case for the table in tests/protocol/messages.py."""

from pyserve.protocol.limits import Limits
from tests.fuzz.reference import Reading
from tests.protocol.conversation import LIMITS


class Finding(AssertionError):
    """Something that should hold did not."""


def finding(octets: bytes, limits: Limits, eof: bool, reading: Reading, error: BaseException) -> Finding:
    """An error that says how it can be seen again: a case ready to paste, with the verdict of the reference."""
    statuses = ["200"] * len(reading.requests) + [str(status) for status in sorted(reading.faults)[:1]]
    verdict = " ".join(statuses) or "nothing"
    case = f'("found by the fuzz", "", {octets!r}, "{verdict}{" close" if reading.closed else ""}"),'
    notes = [f"{type(error).__name__}: {error}"[:2000]]
    if limits is not LIMITS:
        notes.append(f"with {limits}")
    if eof:
        notes.append("with the client's end behind it")
    return Finding("\n".join([*notes, "A case for tests/protocol/messages.py:", case]))
