"""Logger classes of users': JSON lines, no health checks, something of one's own in the atoms."""

import json

from gunicorn import glogging

import pyserve.glogging


class Mixed:
    error_fmt = "mine [%(levelname)s] %(message)s"

    def atoms(self, resp, req, environ, request_time):
        return {**super().atoms(resp, req, environ, request_time), "mine": f"{resp.status_code} {req.method}"}

    def access(self, resp, req, environ, request_time):
        if req.path == "/status/204":
            return
        atoms = self.atoms(resp, req, environ, request_time)
        self.access_log.info(json.dumps({"path": atoms["U"], "mine": atoms["mine"], "at": self.now()}))


class Gunicorns(Mixed, glogging.Logger):
    pass


class Pyserves(Mixed, pyserve.glogging.Logger):
    pass
