"""The hooks of gunicorn's example configuration that show where a worker hangs."""


def when_ready(server):
    server.log.info("Server is ready. Spawning workers")


def worker_int(worker):
    worker.log.info("worker received INT or QUIT signal")
    dump(worker)


def worker_abort(worker):
    worker.log.info("worker received SIGABRT signal")
    dump(worker)


def dump(worker):
    import sys
    import threading
    import traceback

    id2name = {th.ident: th.name for th in threading.enumerate()}
    code = []
    for thread_id, stack in sys._current_frames().items():
        code.append("\n# Thread: %s(%d)" % (id2name.get(thread_id, ""), thread_id))  # noqa: UP031 - as it is there
        for filename, lineno, name, line in traceback.extract_stack(stack):
            code.append('File: "%s", line %d, in %s' % (filename, lineno, name))  # noqa: UP031
            if line:
                code.append("  %s" % (line.strip()))  # noqa: UP031
    worker.log.info("\n".join(code))
