"""Who has started this process, and what is to be said about that before anything else.

A container whose first process is a shell gets the stop signal there: `CMD pyserve module:app` and entry point scripts
start the server as a child of `/bin/sh`. Process 1 has no default action for SIGTERM (pid_namespaces(7)), the shell has
no handler either and waits for its child, so `docker stop` waits for ten seconds and kills them all. Shells that are to
run just one command replace themselves by it; then we are process 1, and all is well.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyserve.settings import Settings

_SHELLS = {"sh", "ash", "bash", "busybox", "dash", "ksh", "mksh", "zsh"}
_PROC = Path("/proc")


def remarks(settings: Settings, *, titled: bool) -> Iterator[str]:
    """What the log should warn of, one line each. titled: whether processes can be given their titles."""
    if settings.proc_name is not None and not titled:
        yield "--name has no effect without setproctitle: pip install 'pyserve-http[proctitle]'"
    if os.getppid() == 1 and (shell := deaf_shell(_PROC)):
        yield (
            f"Process 1 is {shell}, which keeps SIGTERM to itself: stopping the container waits in vain, then kills. "
            'Put exec before pyserve in the script, or use the exec form: CMD ["pyserve", ...]'
        )
    if settings.daemon and os.getpid() == 1:
        yield "--daemon has no effect on process 1: the container would end with it"


def deaf_shell(proc: Path) -> str | None:
    """The name of process 1, if it is a shell that runs a script and does not handle SIGTERM."""
    try:
        program, *arguments = (proc / "1" / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", (proc / "1" / "status").read_text(), re.MULTILINE)
    except OSError:
        return None
    name = os.path.basename(os.fsdecode(program))
    if name not in _SHELLS or not arguments:  # without arguments it is somebody's terminal
        return None
    handles = caught is not None and int(caught[1], 16) >> (signal.SIGTERM - 1) & 1
    return None if handles else name
