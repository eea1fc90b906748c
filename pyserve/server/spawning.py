"""Forking a worker, and what the new process does before it is one."""

from __future__ import annotations

import os
import selectors
from collections.abc import Mapping

from pyserve.server import children
from pyserve.server.children import Child
from pyserve.server.equipment import Equipment
from pyserve.server.events import Spawn
from pyserve.server.wakeup import blocked
from pyserve.workers.scoreboard import State
from pyserve.workers.worker import WorkerContext


class Spawner:
    """Forks workers. family: all children of this master by pid. selector: its own. A new worker lets go of both."""

    def __init__(self, equipment: Equipment, family: Mapping[int, Child], selector: selectors.BaseSelector) -> None:
        self._is = equipment
        self._family = family
        self._selector = selector

    def spawn(self, wish: Spawn, workers: int) -> Child | None:
        """Start the worker, one of so many; None, and a line in the log, when the system refuses. Does not return in
        the worker."""
        try:
            listeners = self._is.listeners.of_seat(wish.seat, max(workers, wish.seat + 1))
            reader, writer = children.pipe()
        except OSError as error:
            self._is.log.error("Can't start a worker: %s", error)
            return None
        slot = self._is.board.slot(wish.slot)
        slot.clear(wish.age, State.BOOTING)
        context = WorkerContext(
            settings=self._is.settings,
            listeners=listeners,
            slot=slot,
            scoreboard=self._is.board,
            index=wish.seat,
            age=wish.age,
            ready_fd=writer,
            master_fd=self._is.alive[0],
            application=self._is.application,
            log=self._is.log,
            multiprocess=workers > 1,
            certificates=self._is.certificates,
            files_fd=self._is.watch.files_fd if self._is.watch else None,
        )
        if not self._is.hooks.before_fork(context):
            os.close(reader)
            os.close(context.ready_fd)
            return None
        return self._fork(context, reader)

    def _fork(self, context: WorkerContext, reader: int) -> Child | None:
        try:
            with blocked():
                pid = os.fork()
                if pid == 0:
                    self._be_worker(context, reader)
        except OSError as error:
            self._is.log.error("Can't fork a worker: %s", error)
            os.close(reader)
            os.close(context.ready_fd)
            return None
        os.close(context.ready_fd)
        self._is.hooks.after_fork(context, pid)
        return Child(context.age, pid, context.index, context.slot.index, reader)

    def _be_worker(self, context: WorkerContext, reader: int) -> None:
        """In the new process: let go of all that is the master's, work, end."""
        code = 1
        try:
            self._is.wakeup.leave_to_child()
            self._selector.close()
            os.close(reader)
            os.close(self._is.alive[1])
            if self._is.control:
                self._is.control.leave_to_child()
            if self._is.watch:
                self._is.watch.leave_to_child()
            for child in self._family.values():
                child.close()
            self._is.listeners.keep_only(context.listeners)
            context.slot.pid = os.getpid()
            self._is.log.info("Booting worker with pid: %s", os.getpid())
            code = children.work(self._is.entry, context)
        finally:
            if context.hooks is not None:
                context.hooks.leaves()
            children.end(code, self._is.log)
