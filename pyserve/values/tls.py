"""The kinds of value that settings about TLS have; see `kinds`."""

from pyserve.values.kinds import Kind, near

_REQUIREMENTS = {"none": 0, "optional": 1, "required": 2}


def files() -> Kind:
    """The path of a file or directory, once or several times."""

    def parse(given: object) -> tuple[str, ...]:
        parts = [given] if not isinstance(given, list | tuple) else given
        return tuple(_path(part) for part in parts if part != "")

    return Kind("the path of a file", "FILE", parse, repeats=True)


def requirement() -> Kind:
    """Whether a peer must show a certificate: a number or a name of `ssl.VerifyMode`."""

    def parse(given: object) -> int:
        if not isinstance(given, int | str):
            raise ValueError
        # The number of a member of ssl.VerifyMode, whose own text is its name.
        word = str(int(given)) if isinstance(given, int) else given.strip().lower().removeprefix("cert_")
        if word in _REQUIREMENTS:
            return _REQUIREMENTS[word]
        if word in ("0", "1", "2"):
            return int(word)
        raise ValueError(near(word, _REQUIREMENTS))

    return Kind("0 (none), 1 (optional) or 2 (required)", "0|1|2", parse)


def version() -> Kind:
    """A protocol of Python's ssl module, by its number or its name."""

    def parse(given: object) -> str:
        if isinstance(given, bool) or not isinstance(given, int | str):
            raise ValueError
        return getattr(given, "name", None) or str(given).strip()

    return Kind("the name or number of a protocol", "PROTOCOL", parse)


def _path(given: object) -> str:
    path = given.__fspath__() if hasattr(given, "__fspath__") else given
    if not isinstance(path, str) or any(mark in path for mark in "\0\r\n"):
        raise ValueError
    return path
