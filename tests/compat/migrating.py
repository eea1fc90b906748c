"""The tables of docs/migrating.md: every setting of gunicorn's and every option of uvicorn's, and what becomes of it.

`python -m tests.compat.migrating` writes them into the page, from the table of settings and from the one of those
without effect; which there are is asked of gunicorn and uvicorn themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from gunicorn.config import KNOWN_SETTINGS

from pyserve.foreign import FOREIGN
from pyserve.server.sources import FIELDS
from pyserve.settings import DEFAULTS, OPTIONS
from pyserve.values.option import shown_value
from tests.compat.uvicorn_peer import COMMAND

PAGE: Final = Path(__file__).resolve().parent.parent.parent / "docs" / "migrating.md"
_TABLE: Final = re.compile(r"(<!-- (gunicorn|uvicorn) table -->\n).*?(<!-- end -->\n)", re.DOTALL)
_ALIKE: Final = {
    *("bind", "chdir", "user", "group", "worker_class", "config", "default_proc_name", "ssl_version", "control_socket"),
    *("host", "port", "workers", "log_level", "http", "http_parser", "proxy_headers", "worker_connections"),
}
"""What has its default from the machine, or the same one in another form."""
_NO_EFFECT: Final = "Has no effect: "


def page(text: str) -> str:
    """The page with its tables as they should be."""
    tables = {"gunicorn": _gunicorn, "uvicorn": _uvicorn}
    return _TABLE.sub(lambda match: f"{match[1]}{''.join(tables[match[2]]())}{match[3]}", text)


def _gunicorn() -> Iterator[str]:
    section, sections = "", [setting.section for setting in KNOWN_SETTINGS]
    for setting in sorted(KNOWN_SETTINGS, key=lambda setting: sections.index(setting.section)):
        if setting.section != section:
            section = setting.section
            yield f"\n**{section}**\n\n| Setting | Flag | Here |\n|---|---|---|\n"
        flags = ", ".join(f"`{flag}`" for flag in setting.cli or ())
        yield f"| `{setting.name}` | {flags} | {_state(setting.name, setting.default)} |\n"


def _uvicorn() -> Iterator[str]:
    yield "\n| Option | Here |\n|---|---|\n"
    for parameter in COMMAND.params:
        if parameter.name == "version":
            continue
        flags = ", ".join(f"`{flag}`" for flag in (*parameter.opts, *parameter.secondary_opts))
        flags = flags.replace("`app`", "`APP`")
        yield f"| {flags} | {_state(str(parameter.name), parameter.default)} |\n"


def _state(name: str, default: Any) -> str:
    field = FIELDS[name]
    if field in OPTIONS and OPTIONS[field].help.startswith(_NO_EFFECT):
        return "no effect: " + OPTIONS[field].help.removeprefix(_NO_EFFECT).rstrip(".")
    if field in OPTIONS:
        same = field == name or OPTIONS[field].flag == f"--{name.replace('_', '-')}" or field == "app"
        state = "works" if same else f"works, as `{OPTIONS[field].flag or field}`"
        return state + _default(name, default, getattr(DEFAULTS, field))
    row = FOREIGN[field]
    return f"no effect: {row.why}" if row.why else "accepted; there is nothing to do"


def _default(name: str, theirs: Any, ours: Any) -> str:
    """What is to be said of a default that is another one."""
    plain = all(isinstance(value, str | int | float | None) for value in (theirs, ours))
    if name in _ALIKE or not plain or _shown(theirs) == _shown(ours):
        return ""
    return f"; default {_shown(ours)} instead of {_shown(theirs)}"


def _shown(value: Any) -> str:
    return "none" if value in (None, "", 0, False) else f"`{shown_value(value)}`"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
