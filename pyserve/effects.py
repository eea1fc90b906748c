"""Settings that were changed without having an effect: nothing is parsed and ignored without a word."""

from collections.abc import Iterable, Iterator

from pyserve.settings import DEFAULTS, OPTIONS, Settings, WorkerClass, flag_of

_WEBSOCKET = [name for name in OPTIONS if name.startswith(("ws_", "websocket_"))]


def ineffective(settings: Settings, worker_class: WorkerClass, interface: str = "auto") -> list[str]:
    """One line for each setting that was changed without having an effect.

    worker_class, interface: of the running worker; interface "auto" when the application is not known yet.
    """
    lines = [
        f"{flag_of(name)} has no effect with --worker-class {worker_class}: it is for {option.only}"
        for name, option in OPTIONS.items()
        if option.only not in ("", worker_class) and _changed(settings, name)
    ]
    lines += _ineffective_on_application(settings, worker_class, interface)
    lines += [
        f"{flag_of(name)} has no effect without {needs}"
        for needs, is_there, names in _needs(settings)
        if not is_there
        for name in names
        if _changed(settings, name)
    ]
    if settings.reuse_port and all(address.startswith(("unix:", "fd:")) for address in settings.bind):
        lines.append("--reuse-port has no effect on unix sockets and inherited descriptors")
    return lines + _ineffective_tls(settings) + _ineffective_proxies(settings, interface)


def _ineffective_on_application(settings: Settings, worker_class: WorkerClass, interface: str) -> Iterator[str]:
    if settings.paste is not None:
        yield from (
            f"{flag_of(name)} has no effect with --paste" for name in ("app", "factory") if _changed(settings, name)
        )
    if worker_class == "async" and interface == "asgi" and _changed(settings, "threads"):
        yield "--threads has no effect on an ASGI application"
    if worker_class == "async" and interface == "wsgi":
        names = ("lifespan", "disconnect_grace", "ws", *_WEBSOCKET)
        yield from (
            f"{flag_of(name)} has no effect on a WSGI application" for name in names if _changed(settings, name)
        )


def _needs(settings: Settings) -> Iterator[tuple[str, object, Iterable[str]]]:
    """(what is needed, whether it is there, the settings that need it)."""
    yield "--body-timeout", settings.body_timeout, ["body_min_rate"]
    yield "--write-timeout", settings.write_timeout, ["write_min_rate"]
    yield "--error-logfile FILE", settings.errorlog != "-", ["capture_output"]
    yield "--statsd-host", settings.statsd_host, ["statsd_prefix", "dogstatsd_tags", "enable_backlog_metric"]
    yield "--max-requests", settings.max_requests, ["max_requests_jitter"]
    yield "--ws auto", settings.ws != "none", _WEBSOCKET
    yield "--reload", settings.reload, [name for name in OPTIONS if name.startswith("reload_")]
    yield "--control-socket", settings.control_socket, ["control_socket_mode"]
    yield "--user", settings.user is not None, ["initgroups"]
    unix = any(address.startswith("unix:") and not address.startswith("unix:@") for address in settings.bind)
    yield "--bind unix:PATH", unix, ["unix_socket_mode", "unix_socket_owner"]
    yield "--daemon", settings.daemon, ["enable_stdio_inheritance"]


def _ineffective_tls(settings: Settings) -> list[str]:
    lines = [
        f"{flag_of(name)}: {OPTIONS[name].help[0].lower()}{OPTIONS[name].help[1:]}"
        for name in ("ssl_version", "do_handshake_on_connect")
        if _changed(settings, name)
    ]
    needs = "certfile"
    names = ["keyfile_password", "ca_certs", "cert_reqs", "crl_file", "ciphers", "ssl_context"]
    if settings.certfile:
        needs = "cert_reqs"
        names = [] if settings.cert_reqs else ["ca_certs", "crl_file"]
    if settings.ssl_context_factory is not None and _changed(settings, "ssl_context"):
        lines.append("ssl_context has no effect with ssl_context_factory")
    return lines + [
        f"{flag_of(name)} has no effect without {flag_of(needs)}" for name in names if _changed(settings, name)
    ]


def _ineffective_proxies(settings: Settings, interface: str) -> list[str]:
    lines = []
    if settings.proxy_headers is False:
        names = ("forwarded_allow_ips", "trusted_proxy_headers", "secure_scheme_headers", "forwarder_headers")
        lines = [f"{flag_of(name)} has no effect with --no-proxy-headers" for name in names if _changed(settings, name)]
    elif interface == "wsgi" and _changed(settings, "trusted_proxy_headers") and not settings.proxy_headers:
        lines = ["--trusted-proxy-headers has no effect on a WSGI application without --proxy-headers"]
    elif interface == "asgi" and _changed(settings, "forwarder_headers") and settings.header_map != "refuse":
        lines = ["--forwarder-headers has no effect on an ASGI application without --header-map refuse"]
    if _changed(settings, "proxy_allow_ips") and settings.proxy_protocol == "off":
        lines.append("--proxy-allow-from has no effect without --proxy-protocol")
    return lines


def _changed(settings: Settings, name: str) -> bool:
    return bool(getattr(settings, name) != getattr(DEFAULTS, name))
