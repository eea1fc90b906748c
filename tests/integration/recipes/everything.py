"""A configuration file with every hook: each says in the log that it was called, and what it was given."""

import os

graceful_timeout = 10


def say(log, name, *told):
    log.info("HOOK %s", " ".join(map(str, (name, *told))))


def nworkers_changed(server, new_value, old_value):
    say(server.log, "nworkers_changed", new_value, old_value, server.num_workers)


def on_starting(server):
    say(server.log, "on_starting", server.pid == os.getpid(), server.worker_age, server.num_workers, server.WORKERS)


def when_ready(server):
    say(server.log, "when_ready", server.address == server.cfg.address, len(server.LISTENERS), server.WORKERS)


def on_reload(server):
    say(server.log, "on_reload", server.worker_age, len(server.WORKERS), server.num_workers)


def pre_fork(server, worker):
    same = worker.age == server.worker_age
    say(server.log, "pre_fork", worker.age, worker.pid, worker.ppid == os.getpid(), same, worker.booted)


def post_fork(server, worker):
    mine = worker.pid == os.getpid() and worker.ppid == os.getppid() == server.pid
    say(
        server.log,
        "post_fork",
        mine,
        worker.alive,
        worker.nr,
        worker.app.cfg is worker.cfg,
        worker.pid in server.WORKERS,
    )


def post_worker_init(worker):
    cfg = worker.cfg
    given = cfg.workers, cfg.graceful_timeout, cfg.settings["workers"].get(), cfg.env, worker.timeout
    say(worker.log, "post_worker_init", callable(worker.app.wsgi()), worker.booted, len(worker.sockets), *given)


def pre_request(worker, req):
    say(worker.log, "pre_request", worker.nr, req.method, req.path, req.uri, req.query, req.version, req.headers)


def post_request(worker, req, environ, resp):
    status = str(resp.status)[:3]
    sent = [(name.title(), value) for name, value in resp.headers if name.title() == "Content-Type"]
    say(worker.log, "post_request", req.path, environ["PATH_INFO"], environ["REQUEST_METHOD"], status, sent, resp.sent)


def worker_int(worker):
    say(worker.log, "worker_int", worker.alive)


def worker_abort(worker):
    say(worker.log, "worker_abort")


def worker_exit(server, worker):
    say(server.log, "worker_exit", worker.pid == os.getpid(), worker.alive, worker.booted)


def child_exit(server, worker):
    say(server.log, "child_exit", worker.pid in server.WORKERS, len(server.WORKERS), type(worker.age).__name__)


def on_exit(server):
    say(server.log, "on_exit", server.WORKERS)
