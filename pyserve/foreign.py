"""Settings of gunicorn and uvicorn that are accepted without effect.

Who replaces one of these servers keeps its command line and its configuration file. What they set there, and pyserve
has no use for, is named in one line with the reason and with what to use instead; what says nothing (the default, or a
setting whose purpose is served anyway) is accepted silently. A setting that does have an effect belongs into the table
in `settings.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Foreign:
    """One row.

    name: in a configuration file and as a keyword. flags, names: as in `Option`. takes: what the flag's value is called
    in messages; empty for a switch. default: the other server's, or several values; given, it says nothing. why:
    completes "… has no effect: "; empty where nothing is to be said. variable: uvicorn's, or empty. repeats, negates:
    as in `Kind`.
    """

    name: str
    flags: str
    takes: str
    default: object
    why: str
    variable: str = ""
    repeats: bool = False
    negates: bool = False
    names: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        return self.flags.partition(" ")[0]

    @property
    def other_flag(self) -> str:
        """The flag that switches off; empty where there is none."""
        return f"--no-{self.flag[2:]}" if self.negates else ""

    def says_nothing(self, given: object) -> bool:
        """Whether this is the default, in any form in which a file or a flag may give it."""
        defaults = self.default if isinstance(self.default, tuple) else (self.default,)
        return _plain(given) in map(_plain, defaults) or given in ("", [], (), {})


def _plain(value: object) -> str:
    """Numbers, switches, texts and lists of one alike: 30 is "30", True is "true"."""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    return str(value).strip().lower()


def _gunicorn() -> Iterable[Foreign]:
    files = "files are sent with sendfile() where that can be done, and read where it cannot"
    yield Foreign("sendfile", "--sendfile", "", True, files, negates=True)
    yield Foreign("tmp_upload_dir", "", "", None, "")
    yield Foreign("worker_tmp_dir", "--worker-tmp-dir", "DIR", None, "")  # heartbeats are in shared memory
    yield Foreign("spew", "--spew", "", False, "lines are not traced; try python -m trace")
    protocol = "HTTP is spoken; let nginx use proxy_pass instead of uwsgi_pass"
    yield Foreign("protocol", "--protocol", "STRING", "http", protocol)
    yield Foreign("uwsgi_allow_ips", "--uwsgi-allow-from", "STRING", "127.0.0.1,::1", protocol)


def _parser() -> Iterable[Foreign]:
    """What gunicorn lets through if asked to; a smuggled request begins with a message that two parsers read in two
    ways."""
    refused = "such requests are refused"
    yield Foreign(
        "permit_obsolete_folding", "--permit-obsolete-folding", "", False, f"{refused} (RFC 9112 section 5.2)"
    )
    yield Foreign("strip_header_spaces", "--strip-header-spaces", "", False, f"{refused} (RFC 9112 section 5.1)")
    method, version = "permit_unconventional_http_method", "permit_unconventional_http_version"
    yield Foreign(method, f"--{method.replace('_', '-')}", "", False, "any method that is a token is let through")
    yield Foreign(version, f"--{version.replace('_', '-')}", "", False, f"{refused} (RFC 9112 section 2.3)")
    case = "methods are case-sensitive, and passed on as they came (RFC 9110 section 9.1)"
    yield Foreign("casefold_http_method", "--casefold-http-method", "", False, case)


def _http2() -> Iterable[Foreign]:
    none = "HTTP/2 is not there, HTTP/1.1 is spoken; a proxy in front can speak HTTP/2"
    yield Foreign("http_protocols", "--http-protocols", "STRING", "h1", none)
    yield Foreign("http2_cleartext", "--http2-cleartext", "STRING", "off", none)
    yield Foreign("http2_max_concurrent_streams", "--http2-max-concurrent-streams", "INT", 100, none)
    yield Foreign("http2_initial_window_size", "--http2-initial-window-size", "INT", 65535, none)
    yield Foreign("http2_max_frame_size", "--http2-max-frame-size", "INT", 16384, none)
    yield Foreign("http2_max_header_list_size", "--http2-max-header-list-size", "INT", 65536, none)
    yield Foreign("http2", "--http2", "", False, none, variable="UVICORN_HTTP2")


def _dirty() -> Iterable[Foreign]:
    none = "there are no dirty arbiters; give long work to a task queue"
    yield Foreign("dirty_apps", "--dirty-app", "STRING", None, none, repeats=True)
    yield Foreign("dirty_workers", "--dirty-workers", "INT", 0, none)
    yield Foreign("dirty_timeout", "--dirty-timeout", "INT", 300, none)
    yield Foreign("dirty_threads", "--dirty-threads", "INT", 1, none)
    yield Foreign("dirty_graceful_timeout", "--dirty-graceful-timeout", "INT", 30, none)
    for hook in ("on_dirty_starting", "dirty_post_fork", "dirty_worker_init", "dirty_worker_exit"):
        yield Foreign(hook, "", "", None, none)


def _uvicorn() -> Iterable[Foreign]:
    colors = "the log has no colours"
    yield Foreign("use_colors", "--use-colors", "", False, colors, variable="UVICORN_USE_COLORS", negates=True)
    health = "--timeout is how long a worker may be silent"
    name = "timeout_worker_healthcheck"
    yield Foreign(name, "--timeout-worker-healthcheck", "INTEGER", 5, health, variable=f"UVICORN_{name.upper()}")
    yield Foreign("timeout_notify", "", "", 30, health)
    yield Foreign("callback_notify", "", "", None, "workers tell the master by themselves that they live")
    h11 = "--limit-request-line, --limit-request-fields and --limit-request-field-size limit a head"
    name = "h11_max_incomplete_event_size"
    yield Foreign(name, f"--{name.replace('_', '-')}", "INTEGER", None, h11, variable=f"UVICORN_{name.upper()}")
    context = "each request has a context of its own, made from that of the server"
    yield Foreign("reset_contextvars", "--reset-contextvars", "", False, context, variable="UVICORN_RESET_CONTEXTVARS")


FOREIGN: Final[dict[str, Foreign]] = {
    row.name: row for rows in (_gunicorn, _parser, _http2, _dirty, _uvicorn) for row in rows()
}
