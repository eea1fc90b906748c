"""pyserve: an HTTP server for WSGI and ASGI applications."""

from collections.abc import Callable
from typing import Any

__all__ = ["__version__", "run"]
__version__ = "0.1.0"


def run(app: str | Callable[..., Any], **settings: object) -> None:
    """Serve `app` until a signal ends the server; the same road as the command line.

    app: `module:attribute` or the application itself. settings: by the names of docs/settings.md
    (`workers=4`, `bind="0.0.0.0:8000"`, `log_level="debug"`). They overrule the environment.

    Raises SystemExit with the exit code when that is not 0; what is wrong with a setting is one line on
    stderr.
    """
    # Not at the top: the command line and all it needs are of no use to who only asks for the version.
    from pyserve.server import cli

    code = cli.run(app, settings)
    if code:
        raise SystemExit(code)
