"""docs/migrating.md lists every setting of gunicorn's and uvicorn's, as the tables of settings have it."""

from gunicorn.config import KNOWN_SETTINGS

from tests.compat.migrating import PAGE, page


def test_the_tables_are_up_to_date() -> None:
    text = PAGE.read_text()
    assert text == page(text), "run: python -m tests.compat.migrating"


def test_every_setting_has_its_row() -> None:
    text = PAGE.read_text()
    assert [setting.name for setting in KNOWN_SETTINGS if f"\n| `{setting.name}` |" not in text] == []
