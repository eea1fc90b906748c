"""`--daemon`: on in the background, without the terminal.

The command that was typed ends when the server has its sockets (and, with `--preload`, its application): until then
what goes wrong is said at the terminal, and the command's exit code tells it. From then on there is only the error log.
"""

from __future__ import annotations

import os
import sys
from typing import Final

_UMASK: Final = 0o022
"""As with gunicorn: what the user's shell had is no business of a daemon's files."""

_BROKE: Final = 255


class Detached:
    """In the process that goes on: the old one waits to hear how the start went."""

    def __init__(self, report: int) -> None:
        self._report = report

    def succeed(self, *, keep_output: bool) -> None:
        """Let go of the terminal: the command that was typed ends with 0.

        keep_output: stdout and stderr stay as they are, unless they are a terminal.
        """
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            if stream == 0 or not keep_output or os.isatty(stream):
                os.dup2(nowhere, stream)
        if nowhere > 2:
            os.close(nowhere)
        self._tell(0)

    def fail(self, code: int) -> None:
        """The server does not start: the command that was typed ends with this code. Nothing after `succeed`."""
        if self._report >= 0:
            self._tell(code)

    def _tell(self, code: int) -> None:
        try:
            os.write(self._report, bytes([code & 0xFF]))
        except OSError:
            pass  # nobody waits any more
        os.close(self._report)
        self._report = -1


def detach() -> Detached:
    """Go on in a process of a session of its own, which can never have a terminal again. The caller's never returns."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    listening, report = os.pipe()
    if child := os.fork():
        os.close(report)
        os.waitpid(child, 0)
        os._exit((os.read(listening, 1) or bytes([_BROKE]))[0])
    os.close(listening)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.umask(_UMASK)
    return Detached(report)
