"""Which changed settings have no effect, by worker class and kind of application."""

from typing import Any

import pytest

from pyserve.effects import ineffective
from pyserve.settings import Settings, WorkerClass

# (what was changed, worker class, interface, what the one warning names)
INEFFECTIVE: list[tuple[dict[str, Any], WorkerClass, str, str]] = [
    ({}, "sync", "wsgi", ""),
    ({}, "async", "asgi", ""),
    ({"loop": "uvloop"}, "async", "asgi", ""),
    ({"loop": "uvloop"}, "sync", "auto", "--loop"),
    ({"lifespan": "off"}, "sync", "wsgi", "--lifespan"),
    ({"lifespan": "off"}, "async", "auto", ""),
    ({"lifespan": "off"}, "async", "wsgi", "--lifespan"),
    ({"disconnect_grace": 1.0}, "sync", "wsgi", "--disconnect-grace"),
    ({"disconnect_grace": 1.0}, "async", "wsgi", "--disconnect-grace"),
    ({"disconnect_grace": 1.0}, "async", "asgi", ""),
    ({"threads": 4}, "sync", "wsgi", ""),
    ({"threads": 4}, "async", "wsgi", ""),
    ({"threads": 4}, "async", "asgi", "--threads"),
    ({"paste": "/a.ini"}, "sync", "wsgi", ""),
    ({"paste": "/a.ini", "app": "a:b"}, "sync", "wsgi", "APP"),
    ({"paste": "/a.ini", "factory": True}, "sync", "wsgi", "--factory"),
    ({"ssl_context": len}, "sync", "wsgi", "ssl_context"),
    ({"ssl_context_factory": len}, "sync", "wsgi", ""),
    ({"ssl_context_factory": len, "ssl_context": len, "certfile": ("a",)}, "sync", "wsgi", "ssl_context"),
    ({"max_requests_jitter": 4}, "sync", "wsgi", "--max-requests-jitter"),
    ({"max_requests_jitter": 4, "max_requests": 9}, "sync", "wsgi", ""),
    ({"body_min_rate": 0}, "sync", "wsgi", ""),
    ({"body_min_rate": 1000, "body_timeout": 0}, "sync", "wsgi", "--body-min-rate"),
    ({"write_min_rate": 1000, "write_timeout": 0}, "async", "asgi", "--write-min-rate"),
    ({"proxy_headers": False, "forwarded_allow_ips": ("*",)}, "sync", "wsgi", "--forwarded-allow-ips"),
    ({"trusted_proxy_headers": ("forwarded",)}, "sync", "wsgi", "--trusted-proxy-headers"),
    ({"trusted_proxy_headers": ("forwarded",), "proxy_headers": True}, "sync", "wsgi", ""),
    ({"trusted_proxy_headers": ("forwarded",)}, "async", "asgi", ""),
    ({"forwarder_headers": ("*",)}, "async", "asgi", "--forwarder-headers"),
    ({"forwarder_headers": ("*",), "header_map": "refuse"}, "async", "asgi", ""),
    ({"proxy_allow_ips": ("*",)}, "sync", "wsgi", "--proxy-allow-from"),
    ({"proxy_allow_ips": ("*",), "proxy_protocol": "v2"}, "sync", "wsgi", ""),
    ({"capture_output": True}, "sync", "wsgi", "--capture-output"),
    ({"capture_output": True, "errorlog": "x"}, "sync", "wsgi", ""),
    ({"statsd_prefix": "x"}, "sync", "wsgi", "--statsd-prefix"),
    ({"statsd_prefix": "x", "statsd_host": "a:1"}, "sync", "wsgi", ""),
    ({"reload_delay": 3.0}, "sync", "wsgi", "--reload-delay"),
    ({"reload_delay": 3.0, "reload": True}, "sync", "wsgi", ""),
    ({"initgroups": True}, "sync", "wsgi", "--initgroups"),
    ({"initgroups": True, "user": 1}, "sync", "wsgi", ""),
    ({"enable_stdio_inheritance": True}, "sync", "wsgi", "--enable-stdio-inheritance"),
    ({"enable_stdio_inheritance": True, "daemon": True}, "sync", "wsgi", ""),
    ({"reuse_port": True}, "sync", "wsgi", ""),
    ({"reuse_port": True, "bind": ("unix:/a", "fd://3")}, "sync", "wsgi", "--reuse-port"),
    ({"reuse_port": True, "bind": ("unix:/a", "a:1")}, "sync", "wsgi", ""),
]


@pytest.mark.parametrize(("changed", "worker_class", "interface", "named"), INEFFECTIVE)
def test_ineffective(changed: dict[str, Any], worker_class: WorkerClass, interface: str, named: str) -> None:
    lines = ineffective(Settings(**changed), worker_class, interface)
    assert len(lines) == bool(named)
    assert all(line.startswith(f"{named} has no effect") and "\n" not in line for line in lines)
