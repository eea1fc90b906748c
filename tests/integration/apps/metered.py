"""Applications that are measured, with prometheus_client and OpenTelemetry, or that have to be warm."""

import os

from opentelemetry import trace
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

requests = Counter("shop_requests", "Requests that were answered.")
alive = Gauge("shop_workers", "Workers that have answered.", multiprocess_mode="livesum")
tracer = trace.get_tracer(__name__)


def metrics():
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return generate_latest(registry)


def measured(environ, start_response):
    requests.inc()
    alive.set(1)
    start_response("200 OK", [("Content-Type", CONTENT_TYPE_LATEST)])
    return [metrics() if environ["PATH_INFO"] == "/metrics" else b"%d" % os.getpid()]


def traced(environ, start_response):
    with tracer.start_as_current_span(environ["PATH_INFO"]):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"%d" % os.getpid()]


class Warm:
    """Is ready for requests only when `warm_up` was called."""

    def __init__(self):
        self.warm = False

    def warm_up(self):
        self.warm = True


class Wsgi(Warm):
    def __call__(self, environ, start_response):
        start_response("200 OK" if self.warm else "503 Service Unavailable", [("Content-Type", "text/plain")])
        return [b"hello"]


class Asgi(Warm):
    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            raise AssertionError(scope["type"])
        await send({"type": "http.response.start", "status": 200 if self.warm else 503})
        await send({"type": "http.response.body", "body": b"hello"})


wsgi = Wsgi()
asgi = Asgi()
