"""Names that were meant as settings, told from the many that a configuration file needs for itself."""

import pytest

from pyserve.server.strays import strays
from pyserve.settings import OPTIONS

KNOWN = {name for name, option in OPTIONS.items() if not option.common_word} | {"wsgi_app"}

# (the file, the warning without the file's name; empty: none)
STRAYS = [
    ("keepallive = 2", "keepallive (did you mean 'keepalive'?) is not a setting"),
    ("work_class = 'gthread'", "work_class (did you mean 'worker_class'?) is not a setting"),
    ("log_level = 'debug'", "log_level (did you mean 'loglevel'?) is not a setting"),
    ("worker_memory_limit = 5", "worker_memory_limit (did you mean 'max_worker_memory'?) is not a setting"),
    ("module = 'a'\ndebug = True", "module, debug are not settings"),
    ("if 1:\n    keepallive = 2", "keepallive (did you mean 'keepalive'?) is not a setting"),
    (
        "try:\n    keepallive: int = 2\nexcept OSError:\n    keepallive = 3",
        "keepallive (did you mean 'keepalive'?) is not",
    ),
    ("interface = 'asgi'", "interface (it is in pyserve.conf.py) is not a setting"),
    ("cores = 4\nworkers_per_core = 2\nworkers = cores * workers_per_core", ""),
    ("host = '::1'\nport = 80\nbind = f'[{host}]:{port}'", ""),
    ("log_data = {}\nimport json\nprint(json.dumps(log_data))", ""),
    ("import http, os\nfrom pathlib import Path as work_class", ""),
    ("def helper(server): pass\nclass Work_class: pass", ""),
    ("_keepallive = 2\nKEEPALLIVE = 3\n__all__ = []", ""),
    ("for i in range(3): pass\nwith open('/dev/null') as file: pass", ""),
    ("connection = object()", ""),
    ("def f():\n    keepallive = 2", ""),
    ("def post_frok(server, worker): pass", "post_frok (did you mean 'post_fork'?) is not a setting"),
    ("def post_frok(server, worker): pass\npost_fork = post_frok", ""),
    ("logfile = 'x'", "logfile (did you mean 'errorlog'?) is not a setting"),
]


@pytest.mark.parametrize(("text", "warning"), STRAYS)
def test_strays(text: str, warning: str) -> None:
    variables: dict[str, object] = {}
    exec(text, variables)
    warnings = list(strays("gunicorn.conf.py", variables, KNOWN, text.encode()))
    assert len(warnings) == bool(warning)
    assert all(line.startswith(f"gunicorn.conf.py: {warning}") for line in warnings)


def test_without_the_source_nothing_is_said() -> None:
    assert list(strays("python:conf", {"keepallive": 3}, KNOWN, b"")) == []
