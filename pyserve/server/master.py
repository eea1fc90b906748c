"""The master process, from its start to its exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import Final

from pyserve import __version__
from pyserve.server import children, rebinding, signals, starter, systemd, takeover, watching
from pyserve.server.arbiter import Arbiter
from pyserve.server.children import Entry
from pyserve.server.daemon import detach
from pyserve.server.equipment import binding, equipped, preload, read_certificates, told
from pyserve.server.ownership import give_logs
from pyserve.server.pidfile import PidfileError
from pyserve.server.seats import COULD_NOT_BOOT
from pyserve.server.sockets import BindError
from pyserve.server.takeover import Inheritance, Origin
from pyserve.server.wakeup import Wakeup
from pyserve.settings import EXIT_CONFIGURATION, Settings, SettingsError
from pyserve.workers.application import EXIT_APPLICATION, ApplicationLoadError, prepare_import_path
from pyserve.workers.hooks import HookError
from pyserve.workers.identity import set_title
from pyserve.workers.logs.error_log import ErrorLog
from pyserve.workers.logs.log_setup import check_files, open_log
from pyserve.workers.variables import set_variables
from pyserve.workers.worker import run

EXIT_MASTER_BROKE: Final = 255
"""As with gunicorn. The workers notice that the master is gone, and drain."""

EXIT_HOOK_FAILED: Final = 1
"""As with gunicorn, of a hook before the first worker or after the last; one in between breaks the master."""


_REASONS: Final = {COULD_NOT_BOOT: "Worker failed to boot.", EXIT_APPLICATION: "App failed to load."}


def serve(settings: Settings, *, entry: Entry | None = None, remarks: Iterable[str] = ()) -> int:
    """Run the server until a signal ends it; the exit code of the process (see `docs/signals.md`).

    entry: what a worker process runs, instead of `pyserve.workers.worker.run`. remarks: on the settings, for the log.
    """
    origin = Origin.now()  # before --chdir: the next life reads the same relative paths once more
    titled = set_title(settings, "master")  # before the environment changes, beside which the title lies
    prepare_import_path(settings)
    set_variables(settings)
    give_logs(settings)
    if not takeover.is_later_life():
        check_files(settings)
    log = open_log(settings, captures=settings.capture_output and not takeover.is_trial())
    given, settings = settings, watching.adapted(systemd.with_its_sockets(settings))
    if takeover.is_trial():
        children.end(_trial(settings, log), log)
    if takeover.is_later_life():
        read_certificates(given)  # while there is a second chance
    before = takeover.inherited()
    detached = detach() if settings.daemon and before is None and os.getpid() != 1 else None
    wakeup = Wakeup(before.wakeup if isinstance(before, Inheritance) else None)
    log.info("Starting pyserve %s", __version__)
    for remark in (*remarks, *(_remarks(given, titled) if before is None else ())):
        log.warning("%s", remark)
    code = EXIT_MASTER_BROKE
    try:
        wakeup.install()
        with equipped(settings, log, wakeup, origin, entry or run, before) as equipment:
            if detached is not None:
                detached.succeed(keep_output=settings.enable_stdio_inheritance)
            code = Arbiter(equipment).run()
    except BaseException as error:
        code = _exit_code(error, wakeup, log)
        if detached is not None:
            detached.fail(code)
        return code
    finally:
        wakeup.close()
        say = log.error if code else log.info
        say("Shutting down: Master")
        if code in _REASONS:
            say("Reason: %s", _REASONS[code])
    if equipment.hooks.broken:
        return EXIT_MASTER_BROKE
    return code if equipment.hooks.on_exit() else EXIT_HOOK_FAILED


def _remarks(given: Settings, titled: bool) -> Iterator[str]:
    """What is to be said once about how this server was started."""
    yield from starter.remarks(given, titled=titled)
    yield from systemd.remarks(given)
    yield from watching.remarks(given)


def _trial(settings: Settings, log: ErrorLog) -> int:
    """Before a next life, in a process of its own: could this server start? The reason why not goes to stderr, from
    where the master has it."""
    version, listening = takeover.tried_by()
    if version != __version__:
        _complain(f"pyserve itself has another version now ({__version__}): that needs USR2 or a restart")
        return EXIT_CONFIGURATION
    try:
        read_certificates(settings)
        rebinding.check(listening, binding(settings))
        if settings.preload_app:
            preload(settings, log)
    except BindError as error:
        _complain(str(error))
        return EXIT_CONFIGURATION
    except (ApplicationLoadError, SettingsError) as error:
        _complain(told(error))
        return error.exit_code
    return takeover.PASSED


def _complain(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"{text}\n")


def _exit_code(error: BaseException, wakeup: Wakeup, log: ErrorLog) -> int:
    """What the end of a server by an exception means, told in the log."""
    if wakeup.interrupted:  # what an application that is being loaded makes of the exception does not matter
        log.info("Handling signal: %s, while starting", signals.short_name(wakeup.interrupted))
        return 0
    match error:
        case BindError() | PidfileError():
            code = EXIT_CONFIGURATION
        case HookError():
            code = EXIT_HOOK_FAILED
        case ApplicationLoadError() | SettingsError():
            code = error.exit_code
        case Exception():
            log.exception("Unhandled exception in the master")
            return EXIT_MASTER_BROKE
        case _:
            raise error
    log.error("%s", told(error))
    return code
