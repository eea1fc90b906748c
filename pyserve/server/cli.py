"""The command `pyserve`: read the settings, do what they ask for, return the exit code.

Exit codes: 0 clean, 1 configuration or bind failure, 2 wrong command line, 3 a worker could not boot, 4 the application
could not be loaded (1 if that was only checked). A setting that is wrong is 2 where it was given on the command line,
1 where anywhere else. What is wrong is said in one line on stderr, an application's own traceback before it.
"""

import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from pyserve import __version__
from pyserve.effects import ineffective
from pyserve.server import command, inifile, takeover
from pyserve.server.configuration import configure, settle
from pyserve.server.sources import Layer, Resolved, Source, by_field, platform_variables
from pyserve.settings import EXIT_COMMAND_LINE, EXIT_CONFIGURATION, OPTIONS, Settings, SettingsError
from pyserve.values.option import shown_value
from pyserve.workers.application import ApplicationLoadError, choose_worker_class, load
from pyserve.workers.logs import log_setup
from pyserve.workers.logs.access_format import compile_format

_SECRET = ("keyfile_password",)  # is not printed


def main(argv: Sequence[str] | None = None) -> int:
    """The console script. argv: without the program's name; None: the process's own."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        given = command.parse(arguments)
    except click.exceptions.Exit as done:  # --help, --version
        return done.exit_code
    except click.UsageError as error:
        return fail(" ".join(error.format_message().split()), EXIT_COMMAND_LINE)
    except OSError as error:
        return fail(_unwritten(error))
    return _run(lambda: configure(given, os.environ, Source.COMMAND_LINE))


def run(app: str | Callable[..., Any], settings: Mapping[str, object]) -> int:
    """What `pyserve.run` does; returns the exit code."""
    if "app" in settings:
        return fail("app is given twice")
    return _run(lambda: configure({**settings, "app": app}, os.environ, Source.KEYWORD))


def run_paste(app: Callable[..., Any], ini: str, settings: Mapping[str, object]) -> int:
    """What `pyserve.embedding.serve_paste` does: as `run`, and what the ini file says besides; the exit code."""
    return _run(lambda: configure({**settings, "app": app}, os.environ, Source.KEYWORD, inifile.layer(ini)))


def run_embedded(settings: Mapping[str, object]) -> int:
    """What `pyserve.embedding` does: no configuration file, and only the platform's variables; the exit code."""

    def make() -> Resolved:
        return settle([Layer(Source.KEYWORD, by_field(settings, Source.KEYWORD))], platform_variables(os.environ))

    return _run(make)


def _run(make: Callable[[], Resolved]) -> int:
    _fill_standard_descriptors()
    chance = _second_chance() if takeover.is_later_life() else None
    try:
        return _act(make())
    except (SettingsError, ApplicationLoadError) as error:
        if trace := getattr(error, "traceback", None):
            click.echo(trace, err=True, nl=False)
        code = fail(str(error), error.exit_code)
    except SystemExit as error:  # of a configuration file
        if chance is None:
            raise
        code = fail(f"the configuration ends with {error}")
    if chance is None or not takeover.is_later_life():  # this life has begun
        return code
    fail(f"Reload: the old workers go on, and the configuration is read again in {takeover.AGAIN:g} s")
    return chance()


def _second_chance() -> Callable[[], int] | None:
    from pyserve.server.second_chance import second_chance

    return second_chance()


def _fill_standard_descriptors() -> None:
    """Who starts a server may have closed stdin, stdout or stderr. The next sockets would get their numbers: what a
    library in C prints would go to a client, and libuv aborts the process when it is to close one of them."""
    for stream in (0, 1, 2):
        try:
            os.fstat(stream)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
            os.set_inheritable(stream, True)


def _act(resolved: Resolved) -> int:
    settings = resolved.settings
    nothing = settings.app is None and settings.paste is None
    if settings.print_config or settings.check_config:
        for warning in resolved.warnings:
            _warn(warning)
    if settings.print_config:
        _print(_listing(resolved))
        if nothing and not settings.check_config:
            return 0
    if nothing:
        hint = "for example: pyserve main:app (pyserve --help tells more)"
        raise SettingsError(
            f"APP is missing, {hint}", EXIT_CONFIGURATION if settings.check_config else EXIT_COMMAND_LINE
        )
    _check_format(resolved)
    _check_directory()
    if settings.check_config or settings.print_config:  # with gunicorn, too, the one implies the other
        return _check(settings)
    os.environ["SERVER_SOFTWARE"] = f"pyserve/{__version__}"  # by which applications tell what serves them
    # Settings without effect are named by the first worker, which knows the application.
    # The import is not at the top as --help and --check-config need no master.
    serve: Callable[..., int] = importlib.import_module("pyserve.server.master").serve
    return serve(settings, remarks=resolved.warnings)


def _check(settings: Settings) -> int:
    importlib.import_module("pyserve.server.equipment").read_certificates(settings)
    try:
        application = load(settings)
    except ApplicationLoadError as error:
        error.exit_code = EXIT_CONFIGURATION  # what was asked is whether all is well, and gunicorn answers with 0 or 1
        raise
    log_setup.check(settings)
    worker_class = choose_worker_class(settings, application)
    for line in ineffective(settings, worker_class, application.interface):
        _warn(line)
    if settings.check_config:
        what = f"{application.name} is {application.interface.upper()}, worker class {worker_class}"
        _print(f"The configuration is good: {what}")
    return 0


def _check_format(resolved: Resolved) -> None:
    try:
        compile_format(resolved.settings.access_log_format)
    except ValueError as error:
        origin = resolved.origins["access_log_format"]
        raise SettingsError(f"{origin.name}: {error}", origin.exit_code) from None


def _check_directory() -> None:
    try:
        os.getcwd()
    except OSError as error:
        raise SettingsError(f"working directory: {error.strerror}") from None


def _listing(resolved: Resolved) -> str:
    """`name = value  # origin` for each setting, in the table's order."""
    values = [(name, _shown(getattr(resolved.settings, name)), str(resolved.origins[name])) for name in OPTIONS]
    values = [
        (name, "'...'", resolved.origins[name].where) if name in _SECRET and value != "None" else (name, value, origin)
        for name, value, origin in values
    ]
    names = max(len(name) for name, _, _ in values)
    widest = max(len(value) for _, value, _ in values if len(value) <= 40)
    return "\n".join(f"{name:{names}} = {value:{widest}}  # {origin}" for name, value, origin in values)


def _shown(value: object) -> str:
    return shown_value(value) if callable(value) else repr(value)


def _print(text: str) -> None:
    try:
        click.echo(text)
    except OSError as error:
        raise SettingsError(_unwritten(error)) from None


def _unwritten(error: OSError) -> str:
    """What to say when stdout is a closed pipe or a full disk. What is left in its buffer is given up: the
    interpreter would try once more at its end, and complain."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    return f"stdout: {error.strerror}"


def fail(text: str, exit_code: int = 1) -> int:
    """Say what is wrong; returns the exit code."""
    click.echo(f"pyserve: {text}", err=True)
    return exit_code


def _warn(text: str) -> None:
    click.echo(f"pyserve: warning: {text}", err=True)
