"""A program that is its own server, as gunicorn documents it ("Custom Application"): only the import line changes.

    from pyserve.embedding import BaseApplication

    class StandaloneApplication(BaseApplication):
        def __init__(self, app, options=None):
            self.options = options or {}
            self.application = app
            super().__init__()

        def load_config(self):
            for key, value in self.options.items():
                if key in self.cfg.settings and value is not None:
                    self.cfg.set(key.lower(), value)

        def load(self):
            return self.application

    StandaloneApplication(app, {"bind": "127.0.0.1:8080", "workers": 4}).run()

Settings are what `load_config` sets; of the environment only PORT, WEB_CONCURRENCY and what else hosting platforms set
is read, and no configuration file. A reload (HUP) runs the program anew. `pyserve.run` needs less code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from pyserve.server import cli
from pyserve.server.sources import FIELDS
from pyserve.settings import DEFAULTS, OPTIONS, SettingsError

__all__ = ["BaseApplication", "Config", "Setting", "WSGIApplication", "serve_paste"]


class Setting:
    """One setting of a `Config`. value: as it was set, else the default."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.default: Any = getattr(DEFAULTS, FIELDS[name], None)
        self.value: Any = self.default
        self.is_set = False

    def get(self) -> Any:
        return self.value

    def set(self, value: Any) -> None:
        """ValueError for a value that the setting cannot have; None takes back what was set."""
        option = OPTIONS.get(FIELDS[self.name])
        if option is not None and value is not None and self.name != "worker_class":
            try:
                option.kind.parse(value)
            except (ValueError, OverflowError) as error:
                expected = f"{value!r} given, expected {option.kind.expected}{error}"
                raise ValueError(f"{self.name}: {expected}") from None
        self.value = self.default if value is None else value
        self.is_set = value is not None


class Config:
    """What `load_config` fills. settings: by name; attributes are their values."""

    def __init__(self, usage: str | None = None, prog: str | None = None) -> None:
        self.usage = usage
        self.prog = prog or os.path.basename(sys.argv[0])
        self.env_orig = dict(os.environ)
        names = [name for name in FIELDS if name not in ("app", "config")]
        self.settings = {name: Setting(name) for name in names}

    def set(self, name: str, value: Any) -> None:
        """AttributeError for an unknown name, ValueError for a value that is wrong."""
        if name not in self.settings:
            raise AttributeError(f"No configuration setting for: {name}")
        self.settings[name].set(value)

    def given(self) -> dict[str, Any]:
        """What was set, by name."""
        return {name: setting.value for name, setting in self.settings.items() if setting.is_set}

    def __getattr__(self, name: str) -> Any:
        settings = vars(self).get("settings", {})
        if name not in settings:
            raise AttributeError(f"No configuration setting for: {name}")
        return settings[name].get()


class BaseApplication:
    """To be derived from: `load_config` and `load` are the program's."""

    def __init__(self, usage: str | None = None, prog: str | None = None) -> None:
        self.usage = usage
        self.prog = prog
        self.cfg = Config()
        self.callable: Any = None
        self.logger: Any = None
        self.do_load_config()

    def do_load_config(self) -> None:
        """Make `cfg` and let `load_config` fill it. What that raises is one line, and exit code 1."""
        try:
            self.load_default_config()
            self.load_config()
        except Exception as error:
            raise SystemExit(cli.fail(str(error))) from None

    def load_default_config(self) -> None:
        self.cfg = Config(self.usage, self.prog)

    def load_config(self) -> None:
        """Set what is to be set in `self.cfg`."""
        raise NotImplementedError

    def load(self) -> Any:
        """The application. Called in each worker, or in the master with `preload_app`."""
        raise NotImplementedError

    def reload(self) -> None:
        self.do_load_config()

    def wsgi(self) -> Any:
        """The application, loaded at the first call."""
        if self.callable is None:
            self.callable = self.load()
        return self.callable

    def run(self) -> None:
        """Serve until a signal ends the server. Raises SystemExit with the exit code, as with gunicorn also for 0."""
        raise SystemExit(cli.run_embedded({**self.cfg.given(), **self._application()}))

    def _application(self) -> dict[str, Any]:
        return {"app": _Loader(self), "factory": True}


class WSGIApplication(BaseApplication):
    """Serves what `app_uri` names, `module:attribute`, or else the setting `wsgi_app`."""

    app_uri: str | None = None

    def load_config(self) -> None:
        """Nothing to set: the defaults."""

    def load(self) -> Any:
        """Not called unless overridden: the name is enough."""
        raise SettingsError("APP is missing: set app_uri")

    def _application(self) -> dict[str, Any]:
        if type(self).load is not WSGIApplication.load:
            return super()._application()
        return {} if self.app_uri is None else {"app": self.app_uri, "wsgi_app": None}


def serve_paste(app: Any, global_conf: Mapping[str, str], **local_conf: str) -> None:
    """Serve `app` as a section of its ini file says that is for a server (PasteDeploy's `paste.server_runner`):

        [server:main]
        use = egg:pyserve-http#main
        host = 127.0.0.1
        port = 5000

    Settings are those of docs/settings.md; `config` names a configuration file, which they overrule. Raises SystemExit
    with the exit code, as with gunicorn also for 0.
    """
    raise SystemExit(cli.run_paste(app, global_conf["__file__"], local_conf))


class _Loader:
    """What is called to get the application; called like the program's class in messages and titles.

    program: the object of that class, which hooks know as `server.app`.
    """

    def __init__(self, application: BaseApplication) -> None:
        self.__qualname__ = type(application).__qualname__
        self.program = application

    def __call__(self) -> Any:
        return self.program.wsgi()
