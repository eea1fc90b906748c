"""A log that keeps what it is told."""

from collections.abc import Callable


class Log:
    """said: (level, text) in order."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def __getattr__(self, level: str) -> Callable[..., None]:
        return lambda msg, *args: self.said.append((level, msg % args))

    @property
    def lines(self) -> list[str]:
        """The same as `level: text`."""
        return [f"{level}: {text}" for level, text in self.said]
