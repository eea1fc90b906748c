import os
import subprocess
import sys

import pytest

from bench.measure import FIELDS, Load, cpu_seconds, memory_kib, parse_wrk, tree

PLAIN = """\
Running 4s test @ http://127.0.0.1:8000/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.63ms  123.45us  11.02ms   95.12%
    Req/Sec    39.51k     1.20k   41.02k    82.50%
  157230 requests in 4.00s, 20.24MB read
Requests/sec:  39305.34
Transfer/sec:      5.06MB
"""
TROUBLED = """\
  1200 requests in 1.02m, 1.10MB read
  Socket errors: connect 1, read 20, write 3, timeout 4
  Non-2xx or 3xx responses: 200
Requests/sec:     19.60
"""


@pytest.mark.parametrize(
    ("text", "load"),
    [
        (PLAIN, Load(157230, 4.0, 0)),
        (TROUBLED, Load(1000, 61.2, 228)),
        ("  7 requests in 500.00ms, 1.00KB read", Load(7, 0.5, 0)),
    ],
)
def test_what_wrk_prints_is_read(text: str, load: Load) -> None:
    assert parse_wrk(text) == load


def test_what_wrk_does_not_print_is_refused() -> None:
    with pytest.raises(ValueError, match="unable to connect"):
        parse_wrk("unable to connect to 127.0.0.1:8000 Connection refused")


def test_a_request_has_nine_fields_with_host() -> None:
    assert len(FIELDS) + 1 == 9
    assert "host" not in map(str.lower, FIELDS)


def test_a_tree_has_its_children_and_their_processor_time() -> None:
    # A child, and a grandchild that burns time; both wait until their standard input ends.
    burn = "import sys, time\nwhile time.process_time() < 0.2: pass\nprint(flush=True)\nsys.stdin.read()"
    code = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline()
        found = tree(child.pid)
        assert found[0] == child.pid
        assert len(found) == 2
        assert cpu_seconds(child.pid) >= 0.15  # user and system time are each cut to whole ticks
        assert memory_kib(child.pid, "VmRSS") > memory_kib(found[1], "VmRSS")
        child.communicate()


def test_memory_of_this_process_is_known() -> None:
    assert 1024 < memory_kib(os.getpid(), "VmRSS") <= memory_kib(os.getpid(), "VmHWM")
