"""As prometheus_client's documentation has it for gunicorn."""

from prometheus_client import multiprocess


def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
