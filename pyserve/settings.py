"""Every setting, once.

A field of `Settings` declares its name, type and default, and in its `Option` the flags, the kind of value
(with its check), the help and the environment variables. The command line, the reading of the environment,
`--print-config` and docs/settings.md (`python -m pyserve.settings` prints it) are made from this table; nothing
else states a default.

A value comes, in this order, from the command line (or a keyword of `pyserve.run`), from the arguments in
`PYSERVE_CMD_ARGS` or `GUNICORN_CMD_ARGS`, from the configuration file, from its `PYSERVE_` variable, which is named
after the flag, from a variable of uvicorn's (`UVICORN_PORT`), from one that hosting platforms set (`PORT`,
`WEB_CONCURRENCY`), or it is the default. A blank variable is an unset one.

The configuration file is `pyserve.conf.py`, `pyserve.toml`, the table `[tool.pyserve]` of `pyproject.toml`, or
`gunicorn.conf.py`, whichever is found first in the working directory, or what `-c` names: `PATH`, `file:PATH` or
`python:module`. A Python file gives settings by their names as variables; it is executed at each start and reload.
"""

# ruff: noqa: RUF009 - setting() returns a dataclass field, not a default

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pyserve.values import fields, functions, ini, kinds, owners, tls
from pyserve.values.log_addresses import parse_statsd_address, parse_syslog_address
from pyserve.values.option import Group, Option, option_of, setting

WorkerClass = Literal["sync", "async"]
Interface = Literal["auto", "wsgi", "asgi", "asgi2"]
Hook = Callable[..., object] | None

EXIT_CONFIGURATION: Final = 1
EXIT_COMMAND_LINE: Final = 2


class SettingsError(Exception):
    """What is wrong with the settings, in one line: the setting, what was given, what would be right.

    exit_code: 2 for a mistake on the command line, 1 for one anywhere else.
    """

    def __init__(self, text: str, exit_code: int = EXIT_CONFIGURATION) -> None:
        super().__init__(text)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings as the server uses them: sizes in bytes, durations in seconds, `workers` a number.

    exit_codes: by field, what the server ends with when only its application shows that the setting was wrong. written:
    by field, the setting as it was given, for messages.
    """

    config: str | None = setting(
        Group.APPLICATION,
        "--config -c",
        None,
        kinds.file(),
        "The configuration file: PATH, file:PATH or python:MODULE; PATH ends with .toml where it is no Python. Unset: "
        "what is found in the working directory.",
        common_word=True,
    )
    app: str | Callable[..., Any] | None = setting(
        Group.APPLICATION,
        "APP",
        None,
        kinds.application(),
        "What to serve: module, module:attribute or module:factory('literal', key=1). Without an "
        "attribute: application, then app. In a configuration file: wsgi_app.",
        names=("wsgi_app",),
        common_word=True,
        fallbacks=("UVICORN_APP",),
    )
    factory: bool = setting(
        Group.APPLICATION,
        "--factory",
        False,
        kinds.switch(),
        "Call what APP names, without arguments, to get the application.",
        common_word=True,
        fallbacks=("UVICORN_FACTORY",),
    )
    paste: str | None = setting(
        Group.APPLICATION,
        "--paste --paster",
        None,
        ini.file(),
        "Serve what this ini file describes, instead of APP: its section [app:main], or the one that is named behind a "
        "#. Needs PasteDeploy.",
    )
    raw_paste_global_conf: tuple[str, ...] = setting(
        Group.APPLICATION,
        "--paste-global",
        (),
        ini.variables(),
        "Set a variable in the section [DEFAULT] of that file.",
    )
    chdir: str | None = setting(
        Group.APPLICATION, "--chdir", None, kinds.directory(), "Change to this directory before anything is loaded."
    )
    app_dir: str | None = setting(
        Group.APPLICATION,
        "--app-dir",
        None,
        kinds.directory(),
        "Look for the application's module here first instead of in the working directory.",
        fallbacks=("UVICORN_APP_DIR",),
        common_word=True,
    )

    bind: tuple[str, ...] = setting(
        Group.SOCKETS,
        "--bind -b",
        ("127.0.0.1:8000",),
        kinds.addresses(),
        "Where to listen: host:port, :port, [::1]:port, unix:path, unix:@name (abstract) or fd://number; may be "
        "repeated.",
    )
    host: str | None = setting(
        Group.SOCKETS,
        "--host",
        None,
        kinds.host(),
        "The host of a --bind; 127.0.0.1 if only --port is given.",
        common_word=True,
        fallbacks=("UVICORN_HOST",),
    )
    port: int | None = setting(
        Group.SOCKETS,
        "--port",
        None,
        kinds.whole(0, 65535),
        "The port of a --bind; 8000 if only --host is given. The variable PORT alone means 0.0.0.0:PORT.",
        fallbacks=(
            "UVICORN_PORT",
            "PORT",
        ),
        common_word=True,
    )
    uds: str | None = setting(
        Group.SOCKETS,
        "--uds",
        None,
        kinds.file(),
        "Short for --bind unix:FILE.",
        fallbacks=("UVICORN_UDS",),
        common_word=True,
    )
    fd: int | None = setting(
        Group.SOCKETS,
        "--fd",
        None,
        kinds.whole(),
        "Short for --bind fd://NUMBER.",
        fallbacks=("UVICORN_FD",),
        common_word=True,
    )
    backlog: int = setting(
        Group.SOCKETS,
        "--backlog",
        2048,
        kinds.whole(),
        "How many connections may wait to be accepted.",
        fallbacks=("UVICORN_BACKLOG",),
    )
    reuse_port: bool = setting(
        Group.SOCKETS, "--reuse-port", False, kinds.switch(), "Give each worker a socket of its own (SO_REUSEPORT)."
    )

    certfile: tuple[str, ...] = setting(
        Group.TLS,
        "--certfile --ssl-certfile",
        (),
        tls.files(),
        "Speak TLS, with this certificate and its chain (PEM). May be repeated, and be a directory: the name that a "
        "client asks for chooses (SNI), the first one is for all others. Changed files are read without a restart.",
        fallbacks=("UVICORN_SSL_CERTFILE",),
    )
    keyfile: tuple[str, ...] = setting(
        Group.TLS,
        "--keyfile --ssl-keyfile",
        (),
        tls.files(),
        "The private key (PEM); one for each --certfile that is a file. Unset: it is in the same file.",
        fallbacks=("UVICORN_SSL_KEYFILE",),
    )
    keyfile_password: str | None = setting(
        Group.TLS,
        "--keyfile-password --ssl-keyfile-password",
        None,
        kinds.text(),
        "With what the private key is encrypted.",
        fallbacks=("UVICORN_SSL_KEYFILE_PASSWORD",),
        names=("ssl_keyfile_password",),
    )
    ca_certs: str | None = setting(
        Group.TLS,
        "--ca-certs --ssl-ca-certs",
        None,
        kinds.file(),
        "The authorities whose client certificates are accepted (PEM).",
        fallbacks=("UVICORN_SSL_CA_CERTS",),
    )
    cert_reqs: int = setting(
        Group.TLS,
        "--cert-reqs --ssl-cert-reqs",
        0,
        tls.requirement(),
        "Whether clients are asked for a certificate: 0 no, 1 it may be missing, 2 it must be there.",
        fallbacks=("UVICORN_SSL_CERT_REQS",),
    )
    crl_file: str | None = setting(
        Group.TLS,
        "--crl-file --ssl-crl-file",
        None,
        kinds.file(),
        "The lists of revoked client certificates, one of each authority (PEM).",
    )
    ciphers: str | None = setting(
        Group.TLS,
        "--ciphers --ssl-ciphers",
        None,
        kinds.text(),
        "The ciphers for TLS 1.2 as OpenSSL writes them; those of TLS 1.3 are always the same. Unset: Python's choice.",
        fallbacks=("UVICORN_SSL_CIPHERS",),
    )
    suppress_ragged_eofs: bool = setting(
        Group.TLS,
        "--suppress-ragged-eofs",
        True,
        kinds.switch(),
        "Take the end of a connection that was not announced in TLS (close_notify) for a regular one.",
    )
    ssl_context: Hook = setting(
        Group.TLS,
        "",
        None,
        functions.hook("config, default_ssl_context_factory"),
        "Called to make each ssl.SSLContext; what it is given makes the one that these settings describe.",
    )
    ssl_context_factory: Hook = setting(
        Group.TLS,
        "",
        None,
        functions.hook("config, default_ssl_context_factory"),
        "The same as uvicorn knows it: TLS is spoken also without certfile, where it makes the context by itself.",
    )
    ssl_version: str | None = setting(
        Group.TLS,
        "--ssl-version",
        None,
        tls.version(),
        "Has no effect: TLS 1.2 and 1.3 are spoken. An ssl_context hook can narrow that down.",
        fallbacks=("UVICORN_SSL_VERSION",),
    )
    do_handshake_on_connect: bool = setting(
        Group.TLS,
        "--do-handshake-on-connect",
        False,
        kinds.switch(),
        "Has no effect: a handshake never holds a thread, whenever it comes.",
    )

    workers: int = setting(
        Group.WORKERS,
        "--workers -w",
        1,
        kinds.workers(),
        "How many worker processes; auto: one per processor that affinity and cgroup quota allow.",
        fallbacks=(
            "UVICORN_WORKERS",
            "WEB_CONCURRENCY",
        ),
    )
    worker_class: WorkerClass | None = setting(
        Group.WORKERS,
        "--worker-class -k",
        None,
        kinds.choice("sync", "async", gthread="sync", asgi="async"),
        "sync serves WSGI from threads, async serves ASGI, and WSGI from a pool of threads. Unset: sync "
        "for WSGI, async for ASGI. Worker classes of gunicorn's and uvicorn's say which of them is meant.",
    )
    threads: int = setting(
        Group.WORKERS,
        "--threads",
        1,
        kinds.whole(0, 1024, zero=1),
        "How many WSGI requests a worker runs at once. While a client makes one of them wait in the middle of a "
        "stream, another is served in its place, in another thread. 1 with --worker-class async: four more than "
        "there are processors, 32 at most.",
    )
    worker_connections: int | None = setting(
        Group.WORKERS,
        "--worker-connections",
        None,
        kinds.whole(zero=None),
        "How many connections a worker holds; one that is idle, or silent for two seconds before its first request, "
        "gives way to who waits. Unset or 0: what the limit of descriptors allows.",
    )
    limit_concurrency: int | None = setting(
        Group.WORKERS,
        "--limit-concurrency",
        None,
        kinds.whole(1),
        "How many requests a worker has in flight at once: others are answered 503 with Retry-After; idle connections "
        "do not count. Unset: no limit.",
        fallbacks=("UVICORN_LIMIT_CONCURRENCY",),
    )
    preload_app: bool = setting(
        Group.WORKERS, "--preload", False, kinds.switch(), "Load the application in the master, before the workers."
    )
    max_requests: int = setting(
        Group.WORKERS,
        "--max-requests --limit-max-requests",
        0,
        kinds.whole(),
        "Replace a worker after at least so many requests: its successor is ready before it goes; 0: never.",
        fallbacks=("UVICORN_LIMIT_MAX_REQUESTS",),
    )
    max_requests_jitter: int = setting(
        Group.WORKERS,
        "--max-requests-jitter --limit-max-requests-jitter",
        0,
        kinds.whole(),
        "Add a random number up to this to --max-requests, so that workers do not retire at once.",
        fallbacks=("UVICORN_LIMIT_MAX_REQUESTS_JITTER",),
    )
    max_worker_lifetime: float = setting(
        Group.WORKERS,
        "--max-worker-lifetime",
        0.0,
        kinds.seconds(),
        "Replace a worker that has served for so long; 0: never.",
    )
    max_worker_lifetime_jitter: float = setting(
        Group.WORKERS,
        "--max-worker-lifetime-jitter",
        0.0,
        kinds.seconds(),
        "Add a random time up to this to --max-worker-lifetime.",
    )
    max_worker_memory: int = setting(
        Group.WORKERS,
        "--max-worker-memory",
        0,
        kinds.size(),
        "Replace a worker that holds so much memory (resident, what it shares with others counts); 0: no limit.",
    )

    pidfile: str | None = setting(
        Group.PROCESSES, "--pid -p", None, kinds.file(), "Write the master's process id here."
    )
    user: int | None = setting(
        Group.PROCESSES,
        "--user -u",
        None,
        owners.user(),
        "Whose rights the workers have. The master keeps those that it was started with.",
    )
    group: int | None = setting(
        Group.PROCESSES, "--group -g", None, owners.group(), "The group of the workers. Unset: that of the master."
    )
    initgroups: bool = setting(
        Group.PROCESSES,
        "--initgroups",
        False,
        kinds.switch(),
        "Give the workers all groups that --user is a member of.",
    )
    unix_socket_mode: int | None = setting(
        Group.SOCKETS,
        "--unix-socket-mode",
        None,
        owners.mode(),
        "The permissions of unix sockets, in octal: 660 lets in their owner and group (--unix-socket-owner). Unset: "
        "all but --umask.",
    )
    unix_socket_owner: str | None = setting(
        Group.SOCKETS,
        "--unix-socket-owner",
        None,
        owners.owner(),
        "Whose unix sockets are: USER, USER:GROUP or :GROUP. Unset: those of the workers (--user, --group).",
    )
    bind_file: str | None = setting(
        Group.SOCKETS,
        "--bind-file",
        None,
        kinds.file(),
        "Write the addresses here once they are listened at, one on a line as --bind takes them, with the port that "
        "was chosen for port 0; removed at the end.",
    )
    umask: int = setting(
        Group.PROCESSES,
        "--umask -m",
        0,
        owners.mask(),
        "The permissions that unix sockets do not get.",
    )
    control_socket: str | None = setting(
        Group.PROCESSES,
        "--control-socket",
        None,
        kinds.file(),
        "Make a unix socket here, at which gunicorn's gunicornc shows and commands the server (docs/deploying.md); its "
        "directory is made, too.",
    )
    control_socket_mode: int = setting(
        Group.PROCESSES,
        "--control-socket-mode",
        0o600,
        owners.mask("MODE"),
        "The permissions of that socket: 384 is 0o600, which lets in nobody but its owner. Who is let in can stop the "
        "server.",
    )
    control_socket_disable: bool = setting(
        Group.PROCESSES, "--no-control-socket", False, kinds.switch(negates=False), "Make none, whatever is set."
    )
    raw_env: tuple[str, ...] = setting(
        Group.PROCESSES,
        "--env -e",
        (),
        kinds.assignments(),
        "Set a variable for the application, in its environment.",
    )
    env_file: str | None = setting(
        Group.PROCESSES,
        "--env-file",
        None,
        kinds.file(),
        "Set the variables in this file for the application, but those that are set already; needs python-dotenv. "
        "PORT, WEB_CONCURRENCY and the like are read from it, too, variables named PYSERVE_ are not.",
        fallbacks=("UVICORN_ENV_FILE",),
        common_word=True,
    )
    pythonpath: tuple[str, ...] = setting(
        Group.PROCESSES,
        "--pythonpath",
        (),
        kinds.texts("directories, separated by commas", "DIRECTORIES", separator=","),
        "Look for modules here first.",
    )
    proc_name: str | None = setting(
        Group.PROCESSES,
        "--name -n",
        None,
        kinds.text(),
        "The name in the title of the processes, pyserve: master [NAME]. Unset: APP. Without the package setproctitle "
        "titles stay as they are.",
    )
    default_proc_name: str | None = setting(
        Group.PROCESSES, "", None, kinds.text(), "The name where --name gives none, instead of APP."
    )
    daemon: bool = setting(
        Group.PROCESSES, "--daemon -D", False, kinds.switch(), "Go on in the background, without the terminal."
    )
    enable_stdio_inheritance: bool = setting(
        Group.PROCESSES,
        "--enable-stdio-inheritance -R",
        False,
        kinds.switch(),
        "With --daemon: keep stdout and stderr, unless they are a terminal.",
    )

    interface: Interface = setting(
        Group.PROTOCOLS,
        "--interface",
        "auto",
        kinds.choice("auto", "wsgi", "asgi", "asgi2", asgi3="asgi"),
        "What the application is; auto: look at it. asgi2 is for the callables of ASGI 2, which are called twice.",
        common_word=True,
        fallbacks=("UVICORN_INTERFACE",),
    )
    http: Literal["httptools", "h11"] = setting(
        Group.PROTOCOLS,
        "--http --http-parser",
        "httptools",
        kinds.choice(
            "httptools", "h11", instead="httptools", others=("zttp",), auto="httptools", fast="httptools", python="h11"
        ),
        "Which library parses a request's head.",
        common_word=True,
        fallbacks=("UVICORN_HTTP",),
        names=("http_parser",),
    )
    loop: Literal["auto", "uvloop", "asyncio"] = setting(
        Group.PROTOCOLS,
        "--loop --asgi-loop",
        "auto",
        kinds.choice("auto", "uvloop", "asyncio", instead="auto", others=("zuvloop",), none="asyncio"),
        "The event loop; auto: uvloop where it is installed.",
        only="async",
        common_word=True,
        fallbacks=("UVICORN_LOOP",),
        names=("asgi_loop",),
    )
    lifespan: Literal["auto", "on", "off"] = setting(
        Group.PROTOCOLS,
        "--lifespan --asgi-lifespan",
        "auto",
        kinds.choice("auto", "on", "off"),
        "ASGI lifespan events; auto: an application that does not know them is served all the same.",
        only="async",
        common_word=True,
        fallbacks=("UVICORN_LIFESPAN",),
        names=("asgi_lifespan",),
    )
    ws: Literal["auto", "none"] = setting(
        Group.PROTOCOLS,
        "--ws",
        "auto",
        kinds.choice(
            "auto", "none", instead="auto", **dict.fromkeys(("websockets", "websockets-sansio", "wsproto"), "auto")
        ),
        "Whether ASGI applications are given WebSockets. pyserve speaks the protocol itself: libraries that uvicorn "
        "can be told to use, websockets, websockets-sansio and wsproto, all mean auto.",
        only="async",
        common_word=True,
        fallbacks=("UVICORN_WS",),
    )
    ws_ping_interval: float = setting(
        Group.PROTOCOLS,
        "--ws-ping-interval",
        20.0,
        kinds.seconds(),
        "Send a WebSocket's client a ping when nothing has come from it for so long; 0: never.",
        only="async",
        fallbacks=("UVICORN_WS_PING_INTERVAL",),
    )
    ws_ping_timeout: float = setting(
        Group.PROTOCOLS,
        "--ws-ping-timeout",
        20.0,
        kinds.seconds(),
        "Give a WebSocket's client up (1011) when nothing comes from it for so long after a ping; 0: never.",
        only="async",
        fallbacks=("UVICORN_WS_PING_TIMEOUT",),
    )
    ws_per_message_deflate: bool = setting(
        Group.PROTOCOLS,
        "--ws-per-message-deflate",
        True,
        kinds.boolean(),
        "Compress the messages of WebSockets whose clients offer it (RFC 7692).",
        only="async",
        fallbacks=("UVICORN_WS_PER_MESSAGE_DEFLATE",),
    )
    root_path: str = setting(
        Group.PROTOCOLS,
        "--root-path",
        "",
        kinds.url_path(),
        "The path under which the application is mounted. As ASGI's root_path it is put before each request's path, "
        "as WSGI's SCRIPT_NAME it is taken off.",
        fallbacks=(
            "UVICORN_ROOT_PATH",
            "SCRIPT_NAME",
        ),
    )
    header_map: Literal["drop", "refuse", "dangerous"] = setting(
        Group.PROTOCOLS,
        "--header-map",
        "drop",
        kinds.choice("drop", "refuse", "dangerous"),
        "Header names with an underscore, which in a WSGI environ look like those with a dash: drop the "
        "header, refuse the request (400), or pass it on.",
    )

    headers: tuple[str, ...] = setting(
        Group.PROTOCOLS,
        "--header",
        (),
        fields.header(),
        "Send this field with every response, also where the application sends one of that name; may be repeated.",
        fallbacks=("UVICORN_HEADERS",),
        common_word=True,
    )
    server_header: bool = setting(
        Group.PROTOCOLS,
        "--server-header",
        True,
        kinds.switch(),
        "Send Server where the application does not.",
        fallbacks=("UVICORN_SERVER_HEADER",),
    )
    date_header: bool = setting(
        Group.PROTOCOLS,
        "--date-header",
        True,
        kinds.switch(),
        "Send Date where the application does not.",
        fallbacks=("UVICORN_DATE_HEADER",),
    )

    forwarded_allow_ips: tuple[str, ...] = setting(
        Group.PROXIES,
        "--forwarded-allow-ips",
        ("127.0.0.1", "::1"),
        fields.peers(),
        "The proxies whose fields about the client are believed; *: everybody's. Peers on a unix socket are always "
        "trusted; unix: so are hops in X-Forwarded-For that are written unix:. After a PROXY header the peer is whom "
        "that names.",
        fallbacks=("UVICORN_FORWARDED_ALLOW_IPS", "FORWARDED_ALLOW_IPS"),
    )
    proxy_headers: bool | None = setting(
        Group.PROXIES,
        "--proxy-headers",
        None,
        kinds.switch(),
        "Let trusted proxies say who the client is. Unset: under WSGI they say only whether the scheme is https "
        "(--secure-scheme-headers), and REMOTE_ADDR is the proxy's; under ASGI --trusted-proxy-headers are read.",
        fallbacks=("UVICORN_PROXY_HEADERS",),
    )
    trusted_proxy_headers: tuple[str, ...] = setting(
        Group.PROXIES,
        "--trusted-proxy-headers",
        ("x-forwarded-for", "x-forwarded-proto"),
        fields.some_of(
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-forwarded-port",
            "forwarded",
            alone="forwarded",
        ),
        "Which fields say it, by what the proxies set: others they pass on as the client wrote them. forwarded "
        "(RFC 7239) goes without the others.",
    )
    secure_scheme_headers: tuple[str, ...] = setting(
        Group.PROXIES,
        "--secure-scheme-headers",
        ("X-FORWARDED-PROTOCOL=ssl", "X-FORWARDED-PROTO=https", "X-FORWARDED-SSL=on"),
        fields.field_values(),
        "Fields by which a trusted proxy says that the scheme is https, and the value that means it. Those that "
        "contradict each other are refused (400). Under ASGI they decide only if changed; where "
        "--trusted-proxy-headers are read and x-forwarded-proto is not among them, they are looked at only if changed.",
    )
    forwarder_headers: tuple[str, ...] = setting(
        Group.PROXIES,
        "--forwarder-headers",
        ("SCRIPT_NAME", "PATH_INFO"),
        fields.field_names(),
        "Names with an underscore that trusted proxies may use, whatever --header-map says of others; *: all. Under "
        "WSGI SCRIPT_NAME is the request's mount point.",
    )

    proxy_protocol: Literal["off", "v1", "v2", "auto"] = setting(
        Group.PROXIES,
        "--proxy-protocol",
        "off",
        fields.proxy_protocol(),
        "Read the PROXY protocol's header, of version 1, 2 or either (auto, or the flag alone), which tells the client "
        "and stands before TLS. A connection without one is served as it is.",
    )
    proxy_allow_ips: tuple[str, ...] = setting(
        Group.PROXIES,
        "--proxy-allow-from",
        ("127.0.0.1", "::1"),
        fields.peers(),
        "The proxies that may send that header; *: everybody. Peers on a unix socket always may.",
    )

    timeout: float = setting(
        Group.TIMEOUTS,
        "--timeout -t",
        30.0,
        kinds.seconds(),
        "Replace a worker that makes no progress for so long; 0: never.",
    )
    request_timeout: float = setting(
        Group.TIMEOUTS,
        "--request-timeout",
        0.0,
        kinds.seconds(),
        "How long the application may take for a request, to the end of its response, streams included: then the "
        "client is answered 504, or the response is broken off; 0: no limit.",
        common_word=True,
    )
    graceful_timeout: float = setting(
        Group.TIMEOUTS,
        "--graceful-timeout --timeout-graceful-shutdown",
        30.0,
        kinds.seconds(zero=0.01),
        "How long requests may take to finish after a stop signal; 0: no time.",
        fallbacks=("UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN",),
    )
    keepalive: float = setting(
        Group.TIMEOUTS,
        "--keep-alive --timeout-keep-alive",
        5.0,
        kinds.seconds(),
        "How long an idle connection is kept for its next request; 0: each connection has one request.",
        fallbacks=("UVICORN_TIMEOUT_KEEP_ALIVE",),
    )
    header_timeout: float = setting(
        Group.TIMEOUTS,
        "--header-timeout",
        30.0,
        kinds.seconds(),
        "How long a request's head may take to arrive; 0: no limit.",
    )
    body_timeout: float = setting(
        Group.TIMEOUTS, "--body-timeout", 30.0, kinds.seconds(), "How long a request's body may pause; 0: no limit."
    )
    body_min_rate: int = setting(
        Group.TIMEOUTS,
        "--body-min-rate",
        500,
        kinds.whole(),
        "How many bytes of a request's body must come per second: a slower client uses --body-timeout up, a faster one "
        "gets it back; 0: no limit.",
    )
    write_timeout: float = setting(
        Group.TIMEOUTS,
        "--write-timeout",
        30.0,
        kinds.seconds(),
        "How long a client may take no octet of a response; 0: no limit.",
    )
    write_min_rate: int = setting(
        Group.TIMEOUTS,
        "--write-min-rate",
        240,
        kinds.whole(),
        "How many bytes of a response a client must take per second: a slower one uses --write-timeout up, a faster "
        "one gets it back; 0: no limit.",
    )
    drain_delay: float = setting(
        Group.TIMEOUTS,
        "--drain-delay",
        0.0,
        kinds.seconds(),
        "How long the server goes on to accept connections after TERM, each closed after its response, so that "
        "balancers and clients move away; then it stops.",
    )
    ready_path: str = setting(
        Group.TIMEOUTS,
        "--ready-path",
        "",
        kinds.url_path(mount=False),
        "Answer this path, such as /readyz, in the application's place: 200, and 503 once a stop has begun, so that "
        "who asks moves away during --drain-delay. With --root-path before it or without. Unset: none.",
    )
    drain_idle: float | None = setting(
        Group.TIMEOUTS,
        "--drain-idle",
        None,
        kinds.seconds(),
        "How long a retiring worker keeps idle connections for one more request; then clients have 2 s to close them. "
        "Unset: as --keep-alive.",
    )
    stream_grace: float | None = setting(
        Group.TIMEOUTS,
        "--stream-grace",
        None,
        kinds.seconds(),
        "How long responses that have begun go on after a stop signal; then the ASGI application is told "
        "http.disconnect, and may end them. Unset: half of --graceful-timeout.",
        only="async",
    )
    disconnect_grace: float | None = setting(
        Group.TIMEOUTS,
        "--disconnect-grace --asgi-disconnect-grace-period",
        None,
        kinds.seconds(),
        "Cancel an ASGI request so long after its client has left. Unset: never.",
        only="async",
        names=("asgi_disconnect_grace_period",),
    )

    # gunicorn has 4094; RFC 9112 section 3 recommends to take at least 8000.
    limit_request_line: int = setting(
        Group.LIMITS, "--limit-request-line", 8190, kinds.size(), "The longest request line; 0: no limit."
    )
    limit_request_fields: int = setting(
        Group.LIMITS,
        "--limit-request-fields",
        100,
        kinds.whole(0, 32768, zero=32768, clamps=True),
        "The most header fields; 0: 32768.",
    )
    limit_request_field_size: int = setting(
        Group.LIMITS,
        "--limit-request-field-size --limit-request-field_size",
        8190,
        kinds.size(),
        "The longest header field; 0: no limit.",
    )
    limit_request_body: int = setting(
        Group.LIMITS, "--limit-request-body", 0, kinds.size(), "The longest request body; 0: no limit."
    )
    websocket_max_message_size: int = setting(
        Group.LIMITS,
        "--websocket-max-message-size --ws-max-size",
        16 * 1024 * 1024,
        kinds.size(),
        "The longest message of a WebSocket, uncompressed; a longer one ends the connection (1009). 0: no limit.",
        only="async",
        fallbacks=("UVICORN_WS_MAX_SIZE",),
        names=("ws_max_size",),
    )
    ws_max_queue: int = setting(
        Group.LIMITS,
        "--ws-max-queue",
        32,
        kinds.whole(1),
        "How many messages of a WebSocket may wait for the application; further ones wait in the socket.",
        only="async",
        fallbacks=("UVICORN_WS_MAX_QUEUE",),
    )
    body_buffer_size: int = setting(
        Group.LIMITS,
        "--body-buffer-size",
        1024 * 1024,
        kinds.size(1),
        "How much of a request's body is held in memory; the rest waits in the socket.",
    )
    body_buffer_total: int = setting(
        Group.LIMITS,
        "--body-buffer-total",
        64 * 1024 * 1024,
        kinds.size(1),
        "How much of all bodies together a worker holds in memory.",
    )

    accesslog: str | None = setting(
        Group.LOGS,
        "--access-logfile",
        None,
        kinds.file(),
        "Write a line per request here; '-': stdout. Unset: nowhere.",
    )
    access_log: bool | None = setting(
        Group.LOGS,
        "--access-log",
        None,
        kinds.switch(),
        "Short for --access-logfile -; --no-access-log: no access log, whatever --access-logfile says.",
        fallbacks=("UVICORN_ACCESS_LOG",),
        common_word=True,
    )
    access_log_format: str = setting(
        Group.LOGS,
        "--access-logformat",
        '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"',
        kinds.text(),
        "The form of that line, in gunicorn's atoms.",
    )
    errorlog: str = setting(
        Group.LOGS,
        "--error-logfile --log-file",
        "-",
        kinds.file(required=True),
        "Write what the server says here; '-': stderr.",
    )
    loglevel: Literal["debug", "info", "warning", "error", "critical"] = setting(
        Group.LOGS,
        "--log-level",
        "info",
        kinds.level("debug", "info", "warning", "error", "critical", trace="debug", warn="warning", fatal="critical"),
        "The least important message that is written to it.",
        fallbacks=("UVICORN_LOG_LEVEL",),
    )
    capture_output: bool = setting(
        Group.LOGS, "--capture-output", False, kinds.switch(), "Write what is printed to the file of --error-logfile."
    )
    logger_class: str | type = setting(
        Group.LOGS,
        "--logger-class",
        "gunicorn.glogging.Logger",
        kinds.dotted(),
        "A class with the interface of gunicorn's Logger, or its dotted name, which gets both logs. The default, also "
        "as simple or pyserve.glogging.Logger, is the server's own.",
    )
    logconfig: str | None = setting(
        Group.LOGS,
        "--log-config",
        None,
        kinds.file(),
        "A configuration of Python's logging, as .json, .yaml, or else in the form of fileConfig.",
        fallbacks=("UVICORN_LOG_CONFIG",),
    )
    logconfig_dict: Mapping[str, Any] | None = setting(
        Group.LOGS, "", None, kinds.mapping(), "The same as a dict for dictConfig; it goes before --log-config."
    )
    logconfig_json: str | None = setting(
        Group.LOGS, "--log-config-json", None, kinds.file(), "The same as a JSON file, whatever its name."
    )
    syslog: bool = setting(Group.LOGS, "--log-syslog", False, kinds.switch(), "Send both logs to syslog as well.")
    syslog_addr: str = setting(
        Group.LOGS,
        "--log-syslog-to",
        "udp://localhost:514",
        kinds.address_of("syslog", "udp://host:port, tcp://host:port or unix://path#dgram", parse_syslog_address),
        "Where syslog is.",
    )
    syslog_prefix: str | None = setting(
        Group.LOGS,
        "--log-syslog-prefix",
        None,
        kinds.text(),
        "The name in its lines, as in gunicorn.NAME.error. Unset: the process's name, else APP.",
    )
    syslog_facility: str = setting(
        Group.LOGS,
        "--log-syslog-facility",
        "user",
        kinds.facility(),
        "The facility of its lines.",
    )
    disable_redirect_access_to_syslog: bool = setting(
        Group.LOGS,
        "--disable-redirect-access-to-syslog",
        False,
        kinds.switch(),
        "Keep the access log away from syslog.",
    )
    statsd_host: str | None = setting(
        Group.LOGS,
        "--statsd-host",
        None,
        kinds.address_of("statsd", "host:port or unix://path", parse_statsd_address),
        "Send metrics there, to statsd or dogstatsd. Unset: nowhere.",
    )
    statsd_prefix: str = setting(
        Group.LOGS, "--statsd-prefix", "", kinds.text(), "What the names of metrics begin with, before a dot."
    )
    dogstatsd_tags: str = setting(
        Group.LOGS, "--dogstatsd-tags", "", kinds.text(), "Tags of all metrics: name:value,name:value."
    )
    enable_backlog_metric: bool = setting(
        Group.LOGS,
        "--enable-backlog-metric",
        False,
        kinds.switch(),
        "Send how many connections wait to be accepted, once a second (TCP only).",
    )

    # By configuration file or keyword only; docs/hooks.md tells more.
    on_starting: Hook = setting(
        Group.HOOKS,
        "",
        None,
        functions.hook("server"),
        "Called in the master before it opens its listeners, at its first start.",
    )
    on_reload: Hook = setting(
        Group.HOOKS,
        "",
        None,
        functions.hook("server"),
        "Called in the master at a reload (HUP), with the new configuration.",
    )
    when_ready: Hook = setting(
        Group.HOOKS,
        "",
        None,
        functions.hook("server"),
        "Called in the master once it listens, before the first worker.",
    )
    pre_fork: Hook = setting(
        Group.HOOKS, "", None, functions.hook("server, worker"), "Called in the master before a worker is forked."
    )
    post_fork: Hook = setting(
        Group.HOOKS,
        "",
        None,
        functions.hook("server, worker"),
        "Called in a new worker, before the application is loaded there.",
    )
    post_worker_init: Hook = setting(
        Group.HOOKS,
        "",
        None,
        functions.hook("worker"),
        "Called in a worker when the application is loaded, before it serves.",
    )
    worker_int: Hook = setting(
        Group.HOOKS, "", None, functions.hook("worker"), "Called in a worker that is told to stop at once (INT, QUIT)."
    )
    worker_abort: Hook = setting(
        Group.HOOKS, "", None, functions.hook("worker"), "Called in a worker that is ended for being silent (ABRT)."
    )
    pre_exec: Hook = setting(
        Group.HOOKS,
        "",
        None,
        functions.hook("server"),
        "Called in the process that is about to become the new master (USR2).",
    )
    pre_request: Hook = setting(
        Group.HOOKS,
        "",
        None,
        functions.hook("worker, req"),
        "Called in the worker before each request is given to the application.",
    )
    post_request: Hook = setting(
        Group.HOOKS,
        "",
        None,
        functions.hook("worker, req, environ, resp", least=2),
        "Called in the worker after each request; may take less arguments.",
    )
    child_exit: Hook = setting(
        Group.HOOKS, "", None, functions.hook("server, worker"), "Called in the master when a worker has ended."
    )
    worker_exit: Hook = setting(
        Group.HOOKS, "", None, functions.hook("server, worker"), "Called in a worker when it ends."
    )
    nworkers_changed: Hook = setting(
        Group.HOOKS,
        "",
        None,
        functions.hook("server, new_value, old_value"),
        "Called in the master when the number of workers is set.",
    )
    on_exit: Hook = setting(
        Group.HOOKS, "", None, functions.hook("server"), "Called in the master when all workers have ended."
    )

    reload: bool = setting(
        Group.DEVELOPMENT,
        "--reload",
        False,
        kinds.switch(),
        "Restart the workers at once when a file of the application changes; while it cannot be loaded, wait for the "
        "next change.",
        fallbacks=("UVICORN_RELOAD",),
    )
    reload_engine: Literal["auto", "poll", "inotify"] = setting(
        Group.DEVELOPMENT,
        "--reload-engine",
        "auto",
        kinds.choice("auto", "poll", "inotify"),
        "How changes are noticed: poll looks at all files again and again, inotify needs watchfiles, auto takes it "
        "where it is installed.",
    )
    reload_extra_files: tuple[str, ...] = setting(
        Group.DEVELOPMENT,
        "--reload-extra-file",
        (),
        kinds.paths(),
        "A file to watch, too, or a pattern such as a/**/*.html.",
    )
    reload_dirs: tuple[str, ...] = setting(
        Group.DEVELOPMENT,
        "--reload-dir",
        (),
        kinds.paths(),
        "Watch this directory instead of the one in which the application is looked for; may be repeated.",
        fallbacks=("UVICORN_RELOAD_DIRS",),
    )
    reload_includes: tuple[str, ...] = setting(
        Group.DEVELOPMENT,
        "--reload-include",
        (),
        kinds.texts("a pattern such as *.html, or a directory", "PATTERN"),
        "Files to watch in these directories, besides *.py.",
        fallbacks=("UVICORN_RELOAD_INCLUDES",),
    )
    reload_excludes: tuple[str, ...] = setting(
        Group.DEVELOPMENT,
        "--reload-exclude",
        (),
        kinds.texts("a pattern such as test_*.py, or a directory", "PATTERN"),
        "Files not to watch.",
        fallbacks=("UVICORN_RELOAD_EXCLUDES",),
    )
    reload_delay: float = setting(
        Group.DEVELOPMENT,
        "--reload-delay",
        0.25,
        kinds.seconds(),
        "How often files are looked at.",
        fallbacks=("UVICORN_RELOAD_DELAY",),
    )

    check_config: bool = setting(
        Group.ACTIONS,
        "--check-config",
        False,
        kinds.switch(negates=False),
        "Check the settings, load the application, and exit.",
    )
    print_config: bool = setting(
        Group.ACTIONS,
        "--print-config",
        False,
        kinds.switch(negates=False),
        "Print each setting and where it comes from, and exit.",
    )

    exit_codes: Mapping[str, int] = dataclasses.field(default_factory=dict, repr=False, compare=False)
    written: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    @property
    def reference(self) -> str | None:
        """What names the application, which can be loaded again and again; None for an object, and for none."""
        if self.paste is not None:
            return self.paste
        return self.app if isinstance(self.app, str) else None


OPTIONS: Final[dict[str, Option]] = {
    field.name: option_of(field) for field in dataclasses.fields(Settings) if field.metadata
}
DEFAULTS: Final = Settings()


def flag_of(name: str) -> str:
    """How to name a setting to who reads a message: its flag, or its name where it has none."""
    return OPTIONS[name].flag or name


if __name__ == "__main__":
    from pyserve.manual import page

    print(page(), end="")  # noqa: T201 - that is what it is for
