"""docs/settings.md is what the table of settings says."""

import re
from pathlib import Path

from pyserve.manual import page
from pyserve.settings import OPTIONS

ROOT = Path(__file__).resolve().parent.parent


def test_the_committed_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == page(), "run: python -m pyserve.settings > docs/settings.md"


def test_every_row_of_the_page_has_six_cells() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert len(rows) == len(OPTIONS)
    assert {len(re.split(r"(?<!\\)\|", row)) for row in rows} == {8}
