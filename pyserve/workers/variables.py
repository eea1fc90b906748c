"""The environment that the application finds: `--env-file` and `--env`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pyserve.settings import SettingsError

if TYPE_CHECKING:
    from pyserve.settings import Settings


def read_file(path: str, setting: str = "--env-file") -> Mapping[str, str]:
    """The variables in a file of lines `NAME=value`, as python-dotenv reads them. SettingsError names `setting`."""
    try:
        from dotenv import dotenv_values
    except ImportError:
        raise SettingsError(f"{setting} needs python-dotenv: pip install 'pyserve-http[dotenv]'") from None
    try:
        with open(path, encoding="utf-8") as stream:
            found = dotenv_values(stream=stream)
    except OSError as error:
        raise SettingsError(f"{setting}: {path!r} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{setting}: {path!r} is no text in UTF-8") from None
    return {name: value for name, value in found.items() if value is not None}


def set_variables(settings: Settings) -> None:
    """Set the variables of the file but those that are set already, as uvicorn does, then those of `--env` over all, as
    gunicorn does. For the master, once; its workers inherit them."""
    if settings.env_file is not None:
        for name, value in read_file(settings.env_file).items():
            os.environ.setdefault(name, value)
    for assignment in settings.raw_env:
        name, _, value = assignment.partition("=")
        os.environ[name] = value
