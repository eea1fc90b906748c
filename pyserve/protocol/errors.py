"""The three kinds of error, and whose fault each is.

`ProtocolError` is the peer's: it is answered with its status. `ApplicationError` is the application's: it is answered
with 500 and logged. `Disconnected` is nobody's: the peer has gone, and that is silent.
"""


class ProtocolError(Exception):
    """The peer broke a specification or passed a limit.

    status: the status code of the answer.
    text: one line for the answer's body; it ends with the section that is broken and never holds the peer's input.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class ApplicationError(Exception):
    """The application broke PEP 3333 or ASGI 3; the text says how."""


class Disconnected(OSError):
    """The connection is gone: reset, closed under a write, or cut by a deadline. An OSError, as ASGI 2.4 asks."""
