"""Handlers and filters that raise."""

import logging


class Broken(logging.Handler):
    def handle(self, record):
        raise LookupError("the handler is broken")


logging.getLogger("gunicorn.error").addHandler(Broken())
accesslog = "-"


def post_fork(server, worker):
    worker.log.access_log.addHandler(Broken())
    worker.log.info("x %s", 1, extra={"metric": "a", "value": 1, "mtype": "gauge"})
    assert worker.log.error_log.handlers
