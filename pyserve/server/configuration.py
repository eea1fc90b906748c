"""All that settings come from, read in the order in which one tells where the next is."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import click

from pyserve.server import command, configfile, inifile, workerclass
from pyserve.server.sources import ARGUMENTS, Layer, Resolved, Source, by_field, merge
from pyserve.settings import OPTIONS, SettingsError
from pyserve.values.option import shown_value

_GREEN_THREADS: Final = 64
"""Threads that stand in for a thousand greenlets: a worker that waits most of the time has work for so many."""


def configure(
    given: Mapping[str, object], environ: Mapping[str, str], source: Source, ini: Layer | None = None
) -> Resolved:
    """Make the settings of what was given, of the configuration file and of the environment.

    given, source: as `resolve` takes them. ini: what an ini file gives that is known already. Raises SettingsError.
    """
    arguments = list(_arguments(environ))
    layers = [*arguments, Layer(source, by_field(given, source))]
    file = _file(layers, environ)
    if file is not None:
        layers.insert(0, file.layer)
    if ini is None and (location := _last("paste", layers, environ)):
        ini = inifile.layer(location)
    if ini is not None:
        layers.insert(0, ini)
    resolved = settle(layers, environ)
    return resolved if file is None else dataclasses.replace(resolved, warnings=(*file.warnings, *resolved.warnings))


def settle(layers: Sequence[Layer], environ: Mapping[str, str]) -> Resolved:
    """Make the settings of layers and environment, with what a worker class of another server stands for."""
    variable = OPTIONS["worker_class"].variable
    with_one = [index for index, layer in enumerate(layers) if layer.values.get("worker_class") is not None]
    layer = layers[with_one[-1]] if with_one else Layer(Source.ENVIRONMENT, {"worker_class": environ.get(variable)})
    given = layer.values["worker_class"]
    found = None if given is None else workerclass.recognise(given)
    if found is None:
        return merge(layers, environ)
    layers = list(layers)
    if not with_one:
        environ = {**environ, variable: found.worker_class}
    elif not _is_word_of_ours(given):
        meant = workerclass.Meant(found.worker_class, given)
        layers[with_one[-1]] = dataclasses.replace(layer, values={**layer.values, "worker_class": meant})
    above = sum(layer.source <= Source.FILE for layer in layers)
    layers.insert(above, Layer(Source.FILE, found.settings, "CONFIG_KWARGS"))
    resolved = merge(layers, environ)
    resolved = dataclasses.replace(resolved, warnings=(*found.warnings, *resolved.warnings))
    return _with_threads(resolved, shown_value(given)) if found.green else resolved


def _is_word_of_ours(worker_class: object) -> bool:
    """Whether it can stay as it was written; messages quote it."""
    try:
        OPTIONS["worker_class"].kind.parse(worker_class)
    except ValueError:
        return False
    return True


def _with_threads(resolved: Resolved, worker_class: str) -> Resolved:
    """Threads in place of greenlets, also where nobody asked for threads."""
    settings, origins = resolved.settings, dict(resolved.origins)
    if settings.threads == 1:
        threads = min(settings.worker_connections or _GREEN_THREADS, _GREEN_THREADS)
        settings = dataclasses.replace(settings, threads=threads)
        origins["threads"] = origins["worker_class"]
    text = f"--worker-class {worker_class}: threads serve instead of greenlets, {settings.threads} of them (--threads)"
    return Resolved(settings, origins, (text, *resolved.warnings))


def _arguments(environ: Mapping[str, str]) -> Iterator[Layer]:
    """The command lines in variables. An APP there says nothing, as with gunicorn."""
    for variable in ARGUMENTS:
        text = environ.get(variable, "").strip()
        if not text:
            continue
        try:
            given = command.parse(shlex.split(text), variable)
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
    if location := _last("config", layers, environ):
        return configfile.read(location)
    return configfile.find()


def _last(name: str, layers: Sequence[Layer], environ: Mapping[str, str]) -> str:
    """The path that was given last, or by the environment; else empty."""
    given = (layer.values.get(name) for layer in reversed(layers))
    return str(next(filter(None, given), "")) or environ.get(OPTIONS[name].variable, "").strip()
