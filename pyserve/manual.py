"""docs/settings.md, made from the table of settings."""

from collections.abc import Iterator

from pyserve import settings
from pyserve.settings import DEFAULTS, OPTIONS
from pyserve.values.option import Group, Option, shown_value


def page() -> str:
    """docs/settings.md: the table in Markdown."""
    return "".join(_page())


def _page() -> Iterator[str]:
    yield "# Settings\n\n"
    yield "Made by `python -m pyserve.settings` from the table in `pyserve/settings.py`; do not edit.\n\n"
    yield "\n".join(settings.__doc__.splitlines()[7:]).strip() + "\n\n"
    yield "Sizes: `65536`, `64k`, `10m`, `1g` (powers of 1024).\n"
    yield "Durations: `30` (seconds), `0.5`, `500ms`, `2m`.\n"
    yield "The name is that of the keyword in `pyserve.run(app, name=value)`.\n"
    common = ", ".join(f"`{name}`" for name, option in OPTIONS.items() if option.common_word)
    yield f"A Python file whose name does not begin with `pyserve` may use {common} for variables of its own.\n"
    for group in Group:
        yield f"\n## {group}\n\n"
        yield "| Name | Flag | Variable | Value | Default | Meaning |\n|---|---|---|---|---|---|\n"
        for name, option in OPTIONS.items():
            if option.group is group:
                yield _row(name, option)


def _row(name: str, option: Option) -> str:
    flags = ", ".join(f"`{flag}`" for flag in option.flags.split())
    variables = ", ".join(f"`{variable}`" for variable in (option.variable, *option.fallbacks) if variable)
    value = option.kind.expected + (" (may be repeated)" if option.kind.repeats else "")
    only = f" Only for `--worker-class {option.only}`." if option.only else ""
    default = getattr(DEFAULTS, name)
    shown = "" if default in (None, "") else f"`{shown_value(default)}`"
    cells = [f"`{name}`", flags, variables, value, shown, option.help + only]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
