"""Counts what workers serve, and warms the application up before there are any."""

import collections
import time

preload_app = True
counted = collections.Counter()


def on_starting(server):
    server.log.info("starting with %d workers at %s", server.cfg.workers, server.address)


def when_ready(server):
    server.app.wsgi().warm_up()
    server.log.info("warm")


def pre_request(worker, req):
    req.started = time.monotonic()


def post_request(worker, req, environ, resp):
    seconds = time.monotonic() - req.started
    assert 0 <= seconds < 60
    counted[req.method, req.path, resp.status] += 1


def worker_exit(server, worker):
    server.log.info("counted: %s", sorted(counted.items()))
