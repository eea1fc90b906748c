"""What the ini file of `--paste` says about the server: no more than with gunicorn, its name and how it logs.

It counts less than the configuration file. Its sections `[server:…]` are for programs that start servers themselves
(`pserve`); they find this one as `egg:pyserve-http#main` (`pyserve.embedding.serve_paste`).
"""

from __future__ import annotations

import configparser
import os

from pyserve.server.sources import Layer, Source
from pyserve.settings import SettingsError


def layer(location: str) -> Layer:
    """The settings in `FILE` or `FILE#NAME`. SettingsError for a file that is no ini file; one that is not there is
    empty here, and refused as a value."""
    path = os.path.abspath(os.path.expanduser(location.strip().partition("#")[0]))
    parser = configparser.ConfigParser()
    try:
        parser.read([path], encoding="utf-8")
    except (configparser.Error, ValueError) as error:  # no UTF-8, or a NUL in the path
        raise SettingsError(f"paste: {path}: {' '.join(str(error).split())}") from None
    values: dict[str, object] = {"default_proc_name": path}
    if parser.has_section("loggers"):
        values["logconfig"] = path
    return Layer(Source.FILE, values, os.path.basename(path))
