"""Configuration files for gunicorn in the styles that people write them in. Each is run with APP on the command line,
unless it says `wsgi_app`."""

FILES: dict[str, str] = {
    "plain": """
bind = "0.0.0.0:8000"
workers = 4
threads = 2
timeout = 120
""",
    "processors": """
import multiprocessing

bind = "0.0.0.0:8000"
workers = multiprocessing.cpu_count() * 2 + 1
worker_class = "gthread"
threads = 4
""",
    "the commented example, with every None": """
# Server socket
bind = "127.0.0.1:8000"
backlog = 2048

# Worker processes
workers = 1
worker_class = "sync"
worker_connections = 1000
timeout = 30
keepalive = 2

spew = False

# Server mechanics
daemon = False
raw_env = ["DJANGO_SECRET_KEY=something", "SPAM=eggs"]
pidfile = None
umask = 0
user = None
group = None
tmp_upload_dir = None

# Logging
errorlog = "-"
loglevel = "info"
accesslog = "-"
access_log_format = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'

# Process naming
proc_name = None

# SSL
keyfile = None
certfile = None
""",
    "the example's hooks": """
def post_fork(server, worker):
    server.log.info("Worker spawned (pid: %s)", worker.pid)

def pre_fork(server, worker):
    pass

def pre_exec(server):
    server.log.info("Forked child, re-executing.")

def when_ready(server):
    server.log.info("Server is ready. Spawning workers")

def worker_int(worker):
    worker.log.info("worker received INT or QUIT signal")
    import threading, sys, traceback
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        worker.log.debug("%s\\n%s", names.get(ident, ""), "".join(traceback.format_stack(frame)))

def worker_abort(worker):
    worker.log.info("worker received SIGABRT signal")
""",
    "the image that counts processors": """
import json
import multiprocessing
import os

workers_per_core_str = os.getenv("WORKERS_PER_CORE", "1")
max_workers_str = os.getenv("MAX_WORKERS")
use_max_workers = None
if max_workers_str:
    use_max_workers = int(max_workers_str)
web_concurrency_str = os.getenv("CONCURRENCY", None)

host = os.getenv("HOST_OF_APP", "0.0.0.0")
port = os.getenv("PORT_OF_APP", "80")
bind_env = os.getenv("BIND", None)
use_loglevel = os.getenv("LOG_LEVEL", "info")
if bind_env:
    use_bind = bind_env
else:
    use_bind = f"{host}:{port}"

cores = multiprocessing.cpu_count()
workers_per_core = float(workers_per_core_str)
default_web_concurrency = workers_per_core * cores
if web_concurrency_str:
    web_concurrency = int(web_concurrency_str)
    assert web_concurrency > 0
else:
    web_concurrency = max(int(default_web_concurrency), 2)
    if use_max_workers:
        web_concurrency = min(web_concurrency, use_max_workers)
accesslog_var = os.getenv("ACCESS_LOG", "-")
use_accesslog = accesslog_var or None
errorlog_var = os.getenv("ERROR_LOG", "-")
use_errorlog = errorlog_var or None
graceful_timeout_str = os.getenv("GRACEFUL_TIMEOUT", "120")
timeout_str = os.getenv("TIMEOUT", "120")
keepalive_str = os.getenv("KEEP_ALIVE", "5")

loglevel = use_loglevel
workers = web_concurrency
bind = use_bind
errorlog = use_errorlog
worker_tmp_dir = "/dev/shm"
accesslog = use_accesslog
graceful_timeout = int(graceful_timeout_str)
timeout = int(timeout_str)
keepalive = int(keepalive_str)

log_data = {"loglevel": loglevel, "workers": workers, "bind": bind, "host": host, "port": port}
json.dumps(log_data)
""",
    "variables of the environment": """
import os

for name, value in os.environ.items():
    if name.startswith("GUNICORN_SETTING_"):
        locals()[name.split("_", 2)[2].lower()] = value
workers = int(os.environ.get("GUNICORN_PROCESSES", "2"))
threads = int(os.environ.get("GUNICORN_THREADS", "4"))
bind = os.environ.get("GUNICORN_BIND", "0.0.0.0:8080")
forwarded_allow_ips = "*"
secure_scheme_headers = {"X-Forwarded-Proto": "https"}
""",
    "for containers": """
worker_tmp_dir = "/dev/shm"
workers = 2
threads = 4
worker_class = "gthread"
errorlog = "-"
accesslog = "-"
control_socket_disable = True
""",
    "uvicorn's worker": """
bind = "0.0.0.0:8000"
workers = 4
worker_class = "uvicorn.workers.UvicornWorker"
timeout = 60
graceful_timeout = 30
keepalive = 5
accesslog = "-"
errorlog = "-"
""",
    "a worker class of its own": """
import warnings
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from uvicorn.workers import UvicornWorker

class Worker(UvicornWorker):
    CONFIG_KWARGS = {"loop": "asyncio", "http": "h11", "lifespan": "off"}

worker_class = Worker
""",
    "gevent": """
bind = "0.0.0.0:8088"
workers = 10
worker_class = "gevent"
worker_connections = 1000
timeout = 120
limit_request_line = 0
limit_request_field_size = 0
""",
    "recycling": """
max_requests = 1000
max_requests_jitter = 100
preload_app = True
keepalive = 65
limit_request_line = 4094
limit_request_fields = 200
""",
    "an address from parts": """
HOST = "0.0.0.0"
PORT = 8000
bind = "%s:%d" % (HOST, PORT)
BIND = "unix:/not/meant"
WORKERS = 99
""",
    "several addresses": """
bind = ["0.0.0.0:8000", "unix:/tmp/app.sock"]
reuse_port = False
backlog = 512
""",
    "texts for numbers and switches": """
workers = "3"
timeout = "90"
preload_app = "true"
reload = "False"
loglevel = "WARNING"
umask = "0o022"
""",
    "an address with an environment": """
import os
bind = f"0.0.0.0:{os.environ.get('PORT_OF_APP', '8080')}"
workers = int(os.environ.get("PROCESSES") or 1)
loglevel = os.environ.get("LEVEL", "debug").lower()
capture_output = True
default_proc_name = "web.wsgi:application"
""",
    "the application in the file": """
wsgi_app = "config.wsgi:application"
bind = "0.0.0.0:8000"
chdir = "src"
reload = True
pidfile = "gunicorn.pid"
""",
    "two names at once": """
accesslog = errorlog = "/tmp/gunicorn.log"
capture_output = True
daemon = True
""",
    "chosen by a condition": """
import os
if os.environ.get("DEBUG_OF_APP"):
    reload = True
    workers = 1
else:
    workers = 5
    try:
        import nothing_like_this
    except ImportError:
        threads = 3
""",
    "prometheus": """
from prometheus_client import multiprocess

workers = 2

def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
""",
    "all requests": """
import time

def pre_request(worker, req):
    req.began = time.monotonic()

def post_request(worker, req, environ, resp):
    worker.log.debug("%s %s", req.path, time.monotonic() - req.began)
""",
    "lambdas for hooks": """
on_starting = lambda server: None
on_exit = lambda server: None
nworkers_changed = lambda server, new, old: None
worker_exit = lambda server, worker: None
post_worker_init = lambda worker: None
""",
    "logging by a dictionary": """
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"format": '{"message": "%(message)s"}'}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {"gunicorn.error": {"handlers": ["console"], "level": "INFO", "propagate": False}},
}
""",
    "a log format for JSON": """
import json
access_log_format = json.dumps({"ip": "%(h)s", "request": "%(r)s", "status": "%(s)s", "id": "%({x-request-id}o)s"})
accesslog = "-"
""",
    "a neighbour's names": """
from neighbour import *
from neighbour import number as _number
workers = _number
""",
    "names that are no settings": """
command = "gunicorn"
module = "app"
debug = True
keepallive = 2
work_class = "gthread"
worker_memory_limit = 1000
max_request_size = 5
log_level = "debug"
preload = True
access_logfile = "-"
workers = 2
""",
    "words that are options elsewhere": """
import os

app_dir = os.path.dirname(os.path.abspath(__file__))
interface, port = "0.0.0.0", 8000
headers = {"X-Frame-Options": "DENY"}
http = {"address": f"{interface}:{port}"}
app = loop = object()

def bind_of(settings):
    return settings["address"]

bind = bind_of(http)
chdir = app_dir
print_config = headers is None and loop is app
""",
    "a unix socket and its owner": """
import pathlib
base = pathlib.Path(__file__).resolve().parent
bind = f"unix:{base / 'app.sock'}"
user = "nobody"
group = "nogroup"
umask = 0o007
pythonpath = str(base)
proc_name = "shop"
raw_env = [f"BASE={base}"]
""",
    "metrics": """
statsd_host = "localhost:8125"
statsd_prefix = "shop"
dogstatsd_tags = "env:prod"
""",
    "behind a proxy": """
forwarded_allow_ips = "10.0.0.1,10.0.0.0/24"
proxy_protocol = True
proxy_allow_ips = "*"
forwarder_headers = "SCRIPT_NAME,PATH_INFO,REMOTE_USER"
header_map = "refuse"
""",
    "TLS": """
certfile = "cert.pem"
keyfile = "key.pem"
ca_certs = "cert.pem"
cert_reqs = 1
do_handshake_on_connect = True
bind = "0.0.0.0:8443"
""",
    "with types": """
from __future__ import annotations
from typing import Any

bind: str = "0.0.0.0:8000"
workers: int = 2
timeout: int
logger: Any = None
loglevel: str = "error"
""",
}

# (file, the warnings that it gets)
REMARKS: dict[str, int] = {"names that are no settings": 1, "with types": 1, "gevent": 1}
