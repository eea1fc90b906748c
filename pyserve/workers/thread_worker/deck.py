"""What all connections and all threads of one sync worker share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyserve.protocol.wsgi import make_environ
from pyserve.workers.bodies import Bodies
from pyserve.workers.deadlines import Deadlines
from pyserve.workers.gate import Gate
from pyserve.workers.proxies import Keys
from pyserve.workers.thread_worker.patience import Patience
from pyserve.workers.thread_worker.table import Table

if TYPE_CHECKING:
    from pyserve.workers.crew import Crew
    from pyserve.workers.thread_worker.doors import Doors
    from pyserve.workers.thread_worker.lending import LendingConnection
    from pyserve.workers.thread_worker.lookout import Lookout
    from pyserve.workers.thread_worker.relay import Relay
    from pyserve.workers.thread_worker.timed_connection import TimedConnection


class Deck:
    """The shared things, each of which knows its own rules.

    make_environ: `protocol.wsgi`'s, or what calls a hook before it.

    keeps_environ: the access log asks for environ variables. crowded: accepting pauses until there is room. drowsy: the
    lookout sleeps for longer than a line of the access log may wait. stopping: all threads are to return. running: the
    connections whose requests the application has, where there is a deadline for that. gate: where only so many
    requests may be in flight. lending: what a connection becomes that is asked for WebSocket. notes: where each request
    in progress is written down (`workers/notes.py`).
    """

    __slots__ = (
        "application", "bodies", "crew", "crowded", "deadlines", "doors", "drowsy", "gate", "keeps_environ", "keys",
        "lending", "lookout", "make_environ", "notes", "patience", "relay", "running", "stopping", "table",
    )  # fmt: skip

    doors: Doors
    lending: type[LendingConnection]
    lookout: Lookout
    patience: Patience
    relay: Relay

    def __init__(self, crew: Crew) -> None:
        settings = crew.settings
        self.crew = crew
        self.application: Any = crew.application.callable
        self.notes = crew.context.slot.notes
        self.keys = Keys(settings)
        self.make_environ = crew.request_hooks.make_environ if crew.request_hooks else make_environ
        self.table = Table(settings.threads)
        self.deadlines = Deadlines.of(settings)
        self.bodies = Bodies(settings.body_buffer_size, settings.body_buffer_total)
        self.keeps_environ = False
        self.running: set[TimedConnection] = set()
        self.gate = Gate(settings.limit_concurrency or 0, crew.log)
        self.crowded = False
        self.drowsy = False
        self.stopping = False
