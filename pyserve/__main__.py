"""The command `pyserve`, and `python -m pyserve`.

Process 1 of a container does not die of a signal that it has no handler for (pid_namespaces(7)): a stop in its first
tenths of a second, while its modules are loaded, would be lost, and the container killed ten seconds later. So a
handler is the first thing that it gets.
"""

import os
import signal
import sys


def main() -> int:
    """The console script; returns the exit code."""
    if os.getpid() == 1:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, _end)
    from pyserve.server import cli

    return cli.main()


def _end(number: int, frame: object) -> None:
    """Nothing has begun that would have to be undone, and there is no log yet."""
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
