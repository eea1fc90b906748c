"""The target for atheris: octets as they are, for the properties of streams. Run by `python -m tests.fuzz`."""

import sys
from random import Random

# One octet before a stream says how it is tried; 0 is the plainest way.
_PLAIN = b"\0"


def encode(octets: bytes) -> bytes:
    """A stream as an input of `try_one`."""
    return _PLAIN + octets


def main() -> None:
    import atheris

    with atheris.instrument_imports(include=["pyserve.protocol", "h11"]):
        from tests.fuzz import grammar
        from tests.fuzz.streams import ALL_LIMITS, check

    def try_one(data: bytes) -> None:
        way, octets = data[:1] or _PLAIN, data[1:]
        cuts = [grammar.cut(Random(data), octets)]
        check(octets, ALL_LIMITS[way[0] % len(ALL_LIMITS)], cuts, eof=way[0] >= 128)

    atheris.Setup(sys.argv, try_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
