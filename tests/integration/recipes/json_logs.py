"""Both logs as JSON by `logconfig_dict`, without health checks: the usual way to structured logs."""

import json
import logging


class JsonFormatter(logging.Formatter):
    def format(self, record):
        told = {"logger": record.name, "level": record.levelname, "message": record.getMessage()}
        if isinstance(record.args, dict):
            atoms = record.args
            told |= {
                "path": atoms["U"],
                "status": int(atoms["s"]),
                "micros": atoms["D"],
                "agent": atoms["{user-agent}i"],
            }
        if record.exc_info:
            told["error"] = record.exc_info[0].__name__
        return json.dumps(told)


class NoHealthChecks(logging.Filter):
    def filter(self, record):
        return record.args["U"] != "/status/204"


logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonFormatter}},
    "filters": {"health": {"()": NoHealthChecks}},
    "handlers": {
        "errors": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"},
        "access": {
            "class": "logging.StreamHandler",
            "formatter": "json",
            "filters": ["health"],
            "stream": "ext://sys.stdout",
        },
    },
    "root": {"level": "INFO", "handlers": ["errors"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["errors"], "propagate": False},
        "gunicorn.access": {"level": "INFO", "handlers": ["access"], "propagate": False},
    },
}
