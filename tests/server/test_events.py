"""What is heard and what is told: values that can be compared and kept."""

import dataclasses
import inspect
from typing import Any, get_args

import pytest

from pyserve.server import events, reports, signals

EVENTS, ACTIONS = get_args(events.Event), get_args(events.Action)
DECLARED = [cls for _, cls in inspect.getmembers(events, dataclasses.is_dataclass)]


def test_each_is_either_an_event_or_an_action() -> None:
    assert sorted(map(repr, DECLARED)) == sorted(map(repr, EVENTS + ACTIONS))


@pytest.mark.parametrize("cls", DECLARED)
def test_they_are_values(cls: Any) -> None:
    fields = [field.name for field in dataclasses.fields(cls)]
    one = cls(*range(len(fields)))
    assert one == cls(*range(len(fields)))
    assert hash(one) == hash(cls(*range(len(fields))))
    for field in fields:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(one, field, -1)


def test_all_news_have_words() -> None:
    assert set(reports._NEWS) == set(events.News)


def test_signals_lead_to_events() -> None:
    assert all(row.event is None or isinstance(row.event, EVENTS) for row in signals.TABLE)
