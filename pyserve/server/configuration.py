"""All that settings come from, read in the order in which one tells where the next is."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

import click

from pyserve.server import command, configfile
from pyserve.server.sources import ARGUMENTS, Layer, Resolved, Source, by_field, resolve
from pyserve.settings import OPTIONS, SettingsError


def configure(given: Mapping[str, object], environ: Mapping[str, str], source: Source) -> Resolved:
    """Make the settings of what was given, of the configuration file and of the environment.

    given, source: as `resolve` takes them. Raises SettingsError.
    """
    arguments = list(_arguments(environ))
    file = _file([*arguments, Layer(source, by_field(given, source))], environ)
    below = [*([file.layer] if file else []), *arguments]
    resolved = resolve(given, environ, source, below)
    if file is None:
        return resolved
    return Resolved(resolved.settings, resolved.origins, (*file.warnings, *resolved.warnings))


def _arguments(environ: Mapping[str, str]) -> Iterator[Layer]:
    """The command lines in variables. An APP there says nothing, as with gunicorn."""
    for variable in ARGUMENTS:
        try:
            given = command.parse(shlex.split(environ.get(variable, "")), variable)
        except ValueError as error:  # a quote that is not closed
            raise SettingsError(f"{variable}: {error}") from None
        except click.UsageError as error:
            raise SettingsError(f"{variable}: {' '.join(error.format_message().split())}") from None
        except click.exceptions.Exit:
            raise SettingsError(f"{variable}: --help and --version are for the command line") from None
        given.pop("app", None)
        if given:
            yield Layer(Source.ARGUMENTS, given, variable)


def _file(layers: list[Layer], environ: Mapping[str, str]) -> configfile.ConfigFile | None:
    """What was given last tells the file; otherwise one is looked for."""
    for layer in reversed(layers):
        if location := layer.values.get("config"):
            return configfile.read(str(location))
    if location := environ.get(OPTIONS["config"].variable, "").strip():
        return configfile.read(location)
    return configfile.find()
