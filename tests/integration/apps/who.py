"""Tells what its process is. It imports nothing that is not there already: as another user it may not be able to."""

import os
import sys


def app(environ, start_response):
    facts = {
        "uids": os.getresuid(),
        "gids": os.getresgid(),
        "groups": sorted(os.getgroups()),
        "env": dict(os.environ),
        "path": sys.path[:4],
        "cwd": os.getcwd(),
        "fds": [os.readlink(f"/proc/self/fd/{fd}") for fd in (0, 1, 2)],
        "session": os.getsid(0),
    }
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr(facts).encode()]


LOADED_AS = (os.getuid(), os.environ.get("COLOUR"))


def loaded(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr(LOADED_AS).encode()]
