"""gunicorn's logger class for those who have subclassed it and do not have gunicorn any more; see docs/logging.md."""

from pyserve.workers.logs.glogging import Logger, SafeAtoms

__all__ = ["Logger", "SafeAtoms"]
