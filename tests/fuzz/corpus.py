"""What mutants are made of: the requests of the tables, and the raw requests of others where they lie beside."""

import os
from pathlib import Path

from tests.protocol.messages import MESSAGES

# Other projects' raw requests, read where they are and never copied.
_BESIDE = Path(os.environ.get("CONFORMANCE") or Path(__file__).resolve().parents[3] / "shared" / "conformance") / "data"
_AT_MOST = 4000  # octets; what is longer is about sizes, and slow to cut


def own() -> list[bytes]:
    """The octets of the table of messages."""
    return [octets for _, _, octets, _ in MESSAGES]


def everything() -> list[bytes]:
    """These and the raw requests in the folder beside the checkout, if there is one."""
    found = [path.read_bytes() for path in sorted(_BESIDE.glob("*/*.raw"))]
    return own() + [octets for octets in found if octets and len(octets) <= _AT_MOST]
