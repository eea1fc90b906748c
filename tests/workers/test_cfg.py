"""The settings as code written for gunicorn reads them, held against gunicorn's own."""

import os

import pytest
from gunicorn.config import Config as GunicornConfig

from pyserve.settings import OPTIONS, Settings
from pyserve.workers.cfg import Config

GIVEN = {"bind": ["127.0.0.1:8001", "unix:/run/x.sock", "[::1]:80", "fd://3"], "workers": 3, "timeout": 7}


@pytest.fixture
def both() -> tuple[Config, GunicornConfig]:
    theirs = GunicornConfig()
    for name, value in GIVEN.items():
        theirs.set(name, value)
    return Config(Settings(**{**GIVEN, "bind": tuple(GIVEN["bind"]), "timeout": 7.0})), theirs


@pytest.mark.parametrize(
    "name", ["bind", "workers", "timeout", "graceful_timeout", "loglevel", "backlog", "uid", "user"]
)
def test_values_look_as_they_do_there(both: tuple[Config, GunicornConfig], name: str) -> None:
    ours, theirs = (getattr(cfg, name) for cfg in both)
    assert ours == theirs
    assert type(ours) is type(theirs)


def test_addresses_are_what_they_are_there(both: tuple[Config, GunicornConfig]) -> None:
    ours, theirs = both
    assert ours.address == theirs.address


def test_settings_is_a_mapping_of_all(both: tuple[Config, GunicornConfig]) -> None:
    ours, theirs = both
    assert set(theirs.settings) | set(OPTIONS) <= set(ours.settings)
    assert len(ours.settings) == len(list(ours.settings))
    for entry in (ours.settings["workers"], theirs.settings["workers"]):
        assert (entry.name, entry.get(), entry.value, entry.default) == ("workers", 3, 3, 1)
    assert repr(ours.settings["workers"]) == "<workers=3>"
    assert "workers = 3" in str(ours)
    assert "nothing" not in ours.settings


@pytest.mark.parametrize("name", ["spew", "dirty_workers", "wsgi_app", "asgi_loop", "http2_max_frame_size", "paste"])
def test_names_that_are_only_gunicorns(both: tuple[Config, GunicornConfig], name: str) -> None:
    ours, theirs = both
    assert getattr(ours, name) == ours.settings[name].value == theirs.settings[name].default


@pytest.mark.parametrize("cfg", [0, 1])
def test_what_is_no_setting(both: tuple[Config, GunicornConfig], cfg: int) -> None:
    with pytest.raises(AttributeError, match=r"^No configuration setting for: nothing$"):
        _ = both[cfg].nothing


def test_a_setting_is_final() -> None:
    with pytest.raises(AttributeError, match=r"^workers: the settings cannot be changed by a hook"):
        Config(Settings()).set("workers", 2)


def test_fractions_of_seconds_stay() -> None:
    assert Config(Settings(timeout=0.5)).timeout == 0.5


def test_what_there_is_without_a_setting() -> None:
    cfg = Config(Settings(worker_class="async"))
    assert cfg.worker_class_str == "async"
    assert Config(Settings()).worker_class_str == ""
    assert cfg.env_orig == dict(os.environ)
    assert not cfg.is_ssl


def test_who_it_is() -> None:
    cfg = Config(Settings(raw_env=("A=b=c", "D="), user=7, group=8, proc_name="shop"))
    assert cfg.env == {"A": "b=c", "D": ""}
    assert (cfg.uid, cfg.user, cfg.gid, cfg.group) == (7, 7, 8, 8)
    assert (cfg.proc_name, Config(Settings(app="a:b")).proc_name) == ("shop", "a:b")
