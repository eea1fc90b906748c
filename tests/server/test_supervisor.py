"""The supervisor, without a fork: what it answers to which events.

A scene is a table. A line is an event, perhaps after some seconds (`+5`), and the actions it must lead to, all of
them. `spawn 3@0` is worker number 3 for seat 0; it is answered with Started at once. `die 3 1` is the exit of
worker 3 with code 1, `-9` with signal 9.
"""

import dataclasses
import random
import signal

import pytest

from pyserve.server.events import (
    Announce,
    Beat,
    BootFailed,
    Cause,
    Condemn,
    Dismiss,
    Exited,
    Fewer,
    Finish,
    GiveUp,
    Kill,
    LetGo,
    Linger,
    Manner,
    More,
    Ready,
    Recall,
    Reopen,
    Restart,
    Retiring,
    Say,
    Spawn,
    SpawnFailed,
    Started,
    Stop,
    StopListening,
    Tick,
    Worn,
)
from pyserve.server.seats import BACK_OFF_MOST, Life, Member
from pyserve.server.staff import Policy
from pyserve.server.stopping import Phase
from pyserve.server.supervisor import Estate, Supervisor

EVENTS = {
    "ready": Ready,
    "retiring": Retiring,
    "boot-failed": BootFailed,
    "die": Exited,
    "worn": lambda age: Worn(age, Cause.REQUESTS),
    "heavy": lambda age: Worn(age, Cause.MEMORY),
    "dismiss": Dismiss,
    "recall": Recall,
    "restart": Restart,
    "more": More,
    "fewer": Fewer,
    "reopen": Reopen,
    "term": lambda: Stop(Manner.GRACEFUL),
    "int": lambda: Stop(Manner.QUICK),
    "tick": Tick,
    "no-fork": SpawnFailed,
}


def policy(workers=1, timeout=30.0, graceful_timeout=30.0, capacity=None, **more) -> Policy:
    return Policy(workers, capacity or max(2 * workers, workers + 8), timeout, graceful_timeout, **more)


def words(action) -> str:
    match action:
        case Spawn(age, seat, _):
            return f"spawn {age}@{seat}"
        case Kill(age, _, number, _):
            return f"{number.name.removeprefix('SIG')} {age}"
        case Condemn(age, _, cause):
            return f"condemn {age} {cause.name}"
        case Linger(age, _, seconds, heir):
            return f"linger {age} {seconds:g} s{' as heir' * heir}"
        case LetGo():
            return "let-go"
        case Announce():
            return "announce"
        case StopListening():
            return "stop-listening"
        case Say(news):
            return news.name
        case GiveUp(code):
            return f"give-up {code}"
        case Finish(code):
            return f"finish {code}"
    raise AssertionError(action)


class Stage:
    """A supervisor and a clock."""

    def __init__(self, policy: Policy, before: Estate | None = None) -> None:
        self.supervisor = Supervisor(policy, before, lambda: 0.5)
        self.policy = policy
        self.now = 1000.0
        self.forks = True
        self.slots = {member.age: member.slot for member in before.members} if before else {}

    def start(self) -> list[str]:
        return self._perform(self.supervisor.start(self.now))

    def reload(self, workers: str = "") -> list[str]:
        """A next life of the master, perhaps with another number of workers."""
        last = self.supervisor
        self.policy = dataclasses.replace(self.policy, workers=int(workers) if workers else last.wanted)
        self.supervisor = Supervisor(self.policy, Estate(last.members, last.last_age, last.wanted), lambda: 0.5)
        return self.start()

    def tell(self, event) -> list[str]:
        if isinstance(event, Exited | SpawnFailed):
            self.slots.pop(event.age, None)
        return self._perform(self.supervisor.handle(event, self.now))

    def _perform(self, actions) -> list[str]:
        told = []
        for action in actions:
            told.append(words(action))
            match action:
                case Spawn(age, _, slot):
                    assert slot not in self.slots.values(), "two workers with one slot"
                    assert 0 <= slot < self.policy.capacity
                    self.slots[age] = slot
                    if self.forks:
                        told += self.tell(Started(age, 10_000 + age))
                case Kill(age, pid, _, _):
                    assert pid == 10_000 + age
        return told

    def play(self, text: str) -> None:
        for line in text.strip().splitlines():
            event, _, expected = line.partition("->")
            wanted = [part.strip() for part in expected.split(",") if part.strip()]
            verb, *numbers = event.split()
            if verb.startswith("+"):
                self.now += float(verb[1:])
                verb, *numbers = numbers
            if verb == "start":
                got = self.start()
            elif verb == "reload":
                got = self.reload(*numbers)
            elif verb == "beat":
                got = self.tell(Beat(int(numbers[0]), self.now))
            else:
                got = self.tell(EVENTS[verb](*map(int, numbers)))
            assert got == wanted, f"{line.strip()!r} at {self.now}"


SCENES = {
    "workers are started at once, and a tick changes nothing": (
        policy(3),
        """
        start           -> spawn 1@0, spawn 2@1, spawn 3@2
        ready 2
        ready 1
        +1 tick
        ready 3
        +1 tick
        """,
    ),
    "a worker that does not come to serve is spoken of, and left alone": (
        policy(1),
        """
        start           -> spawn 1@0
        +9.9 tick
        +0.2 tick       -> linger 1 10.1 s
        +59 tick
        +1.1 tick       -> linger 1 70.2 s
        ready 1
        +1 worn 1       -> condemn 1 REQUESTS, spawn 2@0
        beat 1
        +10 tick        -> linger 2 10 s as heir
        beat 1
        ready 2         -> TERM 1
        +61 beat 2
        die 1 0
        tick
        """,
    ),
    "a worker that dies after a long life is followed at once": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        +60 beat 1
        beat 2
        die 2 -9        -> spawn 3@1
        ready 3
        +60 beat 1
        beat 3
        die 3 1         -> spawn 4@1
        """,
    ),
    "workers that die as soon as they serve wait longer and longer after some tries": (
        policy(1),
        """
        start           -> spawn 1@0
        ready 1
        die 1 1         -> spawn 2@0
        ready 2
        die 2 1         -> spawn 3@0
        ready 3
        die 3 -9        -> spawn 4@0
        ready 4
        die 4 1         -> spawn 5@0
        ready 5
        die 5 1         -> spawn 6@0
        ready 6
        die 6 1
        +0.9 tick
        +0.2 tick       -> spawn 7@0
        ready 7
        +0.9 die 7 1
        +1.9 tick
        +0.2 tick       -> spawn 8@0
        ready 8
        +11 die 8 1     -> spawn 9@0
        ready 9
        die 9 1         -> spawn 10@0
        """,
    ),
    "workers that serve for a while, and are killed again and again, are followed at once": (
        policy(1),
        """
        start           -> spawn 1@0
        ready 1
        +1 die 1 -9     -> spawn 2@0
        ready 2
        +1 die 2 -9     -> spawn 3@0
        ready 3
        +1 die 3 -9     -> spawn 4@0
        ready 4
        +1 die 4 -9     -> spawn 5@0
        ready 5
        +1 die 5 -9     -> spawn 6@0
        ready 6
        +1 die 6 -9     -> spawn 7@0
        """,
    ),
    "one seat's bad luck does not keep another one waiting": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        die 1 1         -> spawn 3@0
        die 3 1
        die 2 1         -> spawn 4@1
        +2.1 tick       -> spawn 5@0
        """,
    ),
    "a stated boot failure before anyone is ready ends the server with its code": (
        policy(3),
        """
        start           -> spawn 1@0, spawn 2@1, spawn 3@2
        boot-failed 2 4
        die 2 4         -> give-up 4, TERM 1, TERM 3
        die 1 4
        die 3 -15       -> finish 4
        """,
    ),
    "the same for a worker that could not boot": (
        policy(1),
        """
        start           -> spawn 1@0
        boot-failed 1 3
        die 1 3         -> give-up 3, finish 3
        """,
    ),
    "the same for a configuration that only the worker could check": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        boot-failed 1 1
        die 1 1         -> give-up 1, TERM 2
        die 2 -15       -> finish 1
        """,
    ),
    "a code that looks like a boot failure, of a worker that said nothing": (
        policy(1),
        """
        start           -> spawn 1@0
        die 1 4
        +1.1 tick       -> spawn 2@0
        ready 2
        """,
    ),
    "unexplained deaths before anyone is ready end it after three": (
        policy(1),
        """
        start           -> spawn 1@0
        die 1 -11
        +0.5 tick
        +0.6 tick       -> spawn 2@0
        die 2 1
        +1.5 tick
        +0.6 tick       -> spawn 3@0
        die 3 -9        -> give-up 3, finish 3
        """,
    ),
    "a fork that fails counts as an unexplained death": (
        policy(1),
        """
        start           -> spawn 1@0
        no-fork 1
        +1.1 tick       -> spawn 2@0
        ready 2
        """,
    ),
    "a worker that does not exit after its boot failure is killed, and the server ends": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        boot-failed 1 4
        +1.9 tick
        +0.2 tick       -> KILL 1
        die 1 -9        -> give-up 4, TERM 2
        die 2 4         -> finish 4
        """,
    ),
    "workers that do not die when the server gives up are killed": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        boot-failed 1 4
        die 1 4         -> give-up 4, TERM 2
        +1.9 tick
        +0.2 tick       -> KILL 2
        +5 tick
        die 2 -9        -> finish 4
        """,
    ),
    "once one has been ready, boot failures are tried again for ever": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        die 2 4
        +1.1 beat 1     -> spawn 3@1
        die 3 4
        +1.9 beat 1
        +0.2 tick       -> spawn 4@1
        die 4 3
        +4.1 beat 1     -> spawn 5@1
        die 5 3
        +8.1 beat 1     -> spawn 6@1
        die 6 3
        +16.1 beat 1    -> spawn 7@1
        die 7 3
        +29.9 beat 1
        +0.2 tick       -> spawn 8@1
        die 8 3
        +29.9 beat 1
        +0.2 tick       -> spawn 9@1
        ready 9
        """,
    ),
    "after a change all workers are replaced at once, also one that boots": (
        policy(3, awaits_changes=True),
        """
        start           -> spawn 1@0, spawn 2@1, spawn 3@2
        ready 1
        ready 2
        restart         -> QUIT 1, QUIT 2, TERM 3, spawn 4@0, spawn 5@1, spawn 6@2
        die 1 0
        die 3 -15
        ready 4
        +2.1 tick       -> KILL 2
        die 2 -9
        """,
    ),
    "a change puts an end to a reload, and does not disturb who leaves already": (
        policy(1, awaits_changes=True),
        """
        start           -> spawn 1@0
        ready 1
        reload          -> spawn 2@0
        ready 2         -> let-go, TERM 1, RELOAD_DONE
        reload          -> spawn 3@0
        restart         -> let-go, QUIT 2, TERM 3, spawn 4@0
        ready 4
        die 2 0
        die 3 -15
        die 1 0
        """,
    ),
    "what does not start waits for the next change, and is told once": (
        policy(2, awaits_changes=True),
        """
        start           -> spawn 1@0, spawn 2@1
        boot-failed 1 4
        boot-failed 2 4
        die 1 4         -> WAITING
        die 2 4
        +100 tick
        restart         -> spawn 3@0, spawn 4@1
        ready 3
        die 4 -11       -> WAITING
        +100 beat 3
        tick
        restart         -> QUIT 3, spawn 5@0, spawn 6@1
        ready 5
        die 5 1         -> spawn 7@0
        """,
    ),
    "a reload whose new worker does not start keeps the old one, also while changes are awaited": (
        policy(1, awaits_changes=True),
        """
        start           -> spawn 1@0
        ready 1
        reload          -> spawn 2@0
        boot-failed 2 4
        die 2 4         -> RELOAD_STOPPED
        +12 die 1 1     -> let-go, spawn 3@0
        """,
    ),
    "a change while the server stops is too late": (
        policy(1, awaits_changes=True),
        """
        start           -> spawn 1@0
        ready 1
        term            -> stop-listening, TERM 1
        restart
        die 1 0         -> finish 0
        """,
    ),
    "TTIN and TTOU": (
        policy(1),
        """
        start           -> spawn 1@0
        ready 1
        more            -> spawn 2@1
        more            -> spawn 3@2
        ready 2
        fewer           -> TERM 3
        fewer           -> TERM 2
        fewer           -> LAST_WORKER
        die 3 -15
        more            -> spawn 4@1
        die 2 0
        die 1 0         -> spawn 5@0
        """,
    ),
    "one slot is kept for an heir": (
        policy(1, capacity=3),
        """
        start           -> spawn 1@0
        more            -> spawn 2@1
        more            -> NO_ROOM
        ready 1
        ready 2
        reload          -> spawn 3@0
        """,
    ),
    "a retiring worker is followed at once and may finish": (
        policy(1),
        """
        start           -> spawn 1@0
        ready 1
        retiring 1      -> spawn 2@0
        retiring 1
        ready 2
        die 1 0
        +1 beat 2
        """,
    ),
    "a worker that retires quickly is no failure": (
        policy(1),
        """
        start           -> spawn 1@0
        ready 1
        retiring 1      -> spawn 2@0
        die 1 0
        ready 2
        retiring 2      -> spawn 3@0
        die 2 0
        ready 3
        retiring 3      -> spawn 4@0
        """,
    ),
    "a retiring worker that does not end is killed": (
        policy(1, graceful_timeout=5.0),
        """
        start           -> spawn 1@0
        ready 1
        retiring 1      -> spawn 2@0
        ready 2
        +9.9 beat 2
        +0.2 tick       -> KILL 1
        +5 beat 2
        tick
        die 1 -9
        """,
    ),
    "retiring seen before ready": (
        policy(1),
        """
        start           -> spawn 1@0
        retiring 1      -> spawn 2@0
        die 1 0
        ready 1
        ready 2
        """,
    ),
    "a worn worker serves on until its successor does": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        worn 1          -> condemn 1 REQUESTS, spawn 3@0
        worn 1
        heavy 1
        ready 3         -> TERM 1
        die 1 0
        +60 beat 2
        """,
    ),
    "worn workers are replaced one at a time, the first first": (
        policy(3),
        """
        start           -> spawn 1@0, spawn 2@1, spawn 3@2
        ready 1
        ready 2
        ready 3
        worn 2          -> condemn 2 REQUESTS, spawn 4@1
        +1 heavy 3      -> condemn 3 MEMORY
        +1 worn 1       -> condemn 1 REQUESTS
        ready 4         -> TERM 2, spawn 5@2
        ready 5         -> TERM 3, spawn 6@0
        ready 6         -> TERM 1
        die 1 0
        """,
    ),
    "a successor that cannot boot is tried again, later each time, and the old worker goes on": (
        policy(1),
        """
        start           -> spawn 1@0
        ready 1
        +60 beat 1
        worn 1          -> condemn 1 REQUESTS, spawn 2@0
        boot-failed 2 4
        die 2 4         -> SUCCESSOR_FAILED
        +0.9 beat 1
        +0.2 beat 1     -> spawn 3@0
        die 3 4         -> SUCCESSOR_FAILED
        +1.9 beat 1
        +0.2 beat 1     -> spawn 4@0
        ready 4         -> TERM 1
        die 1 0
        """,
    ),
    "a worn worker that dies while its successor boots, and one whose successor waits": (
        policy(1),
        """
        start           -> spawn 1@0
        ready 1
        +60 worn 1      -> condemn 1 REQUESTS, spawn 2@0
        die 1 -9
        ready 2
        +60 worn 2      -> condemn 2 REQUESTS, spawn 3@0
        die 3 4         -> SUCCESSOR_FAILED
        die 2 -9        -> spawn 4@0
        ready 4
        """,
    ),
    "a worker that has served for its lifetime, and half its jitter": (
        dataclasses.replace(policy(2, timeout=0.0), lifetime=100.0, lifetime_jitter=20.0),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        +109 tick
        +1.1 tick       -> condemn 1 LIFETIME, condemn 2 LIFETIME, spawn 3@0
        ready 3         -> TERM 1, spawn 4@1
        ready 4         -> TERM 2
        die 1 0
        die 2 0
        +100 tick
        """,
    ),
    "those that are worn wait until a reload has ended, which replaces them": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        reload          -> spawn 3@0
        worn 2          -> condemn 2 REQUESTS
        ready 3         -> TERM 1, spawn 4@1
        worn 3          -> condemn 3 REQUESTS
        ready 4         -> let-go, TERM 2, RELOAD_DONE, spawn 5@0
        ready 5         -> TERM 3
        """,
    ),
    "a worn worker whose seat is taken away": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        worn 2          -> condemn 2 REQUESTS, spawn 3@1
        fewer           -> TERM 3, TERM 2
        """,
    ),
    "a worn worker at the end": (
        policy(1),
        """
        start           -> spawn 1@0
        ready 1
        worn 1          -> condemn 1 REQUESTS, spawn 2@0
        term            -> stop-listening, TERM 1, TERM 2
        die 2 -15
        worn 1
        die 1 0         -> finish 0
        """,
    ),
    "reload to more workers: the others come when one of the new ones has shown that it boots": (
        policy(1),
        """
        start           -> spawn 1@0
        ready 1
        reload 3        -> spawn 2@0
        +1 beat 1
        ready 2         -> let-go, TERM 1, spawn 3@1, spawn 4@2, RELOAD_DONE
        die 1 0
        ready 3
        ready 4
        """,
    ),
    "reload to more workers that cannot boot: there are as many as before": (
        policy(1),
        """
        start           -> spawn 1@0
        ready 1
        reload 3        -> spawn 2@0
        die 2 4         -> RELOAD_STOPPED
        +60 beat 1
        more            -> spawn 3@1
        """,
    ),
    "reload to fewer workers: the others go when all that stay are new": (
        policy(3),
        """
        start           -> spawn 1@0, spawn 2@1, spawn 3@2
        ready 1
        ready 2
        ready 3
        reload 1        -> spawn 4@0
        +1 beat 2
        beat 3
        ready 4         -> let-go, TERM 1, TERM 3, TERM 2, RELOAD_DONE
        """,
    ),
    "reload to fewer workers that cannot boot": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        reload 1        -> spawn 3@0
        die 3 3         -> RELOAD_STOPPED
        fewer           -> TERM 2
        """,
    ),
    "reload to fewer workers, when the only one that would stay has died": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        die 1 -9        -> spawn 3@0
        die 3 1
        reload 1        -> spawn 4@0
        +1 beat 2
        ready 4         -> let-go, TERM 2, RELOAD_DONE
        """,
    ),
    "one less, with listeners of their own: another seat takes over those of the one that goes": (
        dataclasses.replace(policy(3), own_listeners=True),
        """
        start           -> spawn 1@0, spawn 2@1, spawn 3@2
        ready 1
        ready 2
        ready 3
        fewer           -> spawn 4@0
        +1 beat 3
        ready 4         -> TERM 3, TERM 1
        die 3 0
        die 1 0
        fewer           -> spawn 5@0
        die 5 4         -> SUCCESSOR_FAILED
        +1.1 beat 2     -> spawn 6@0
        die 2 -9
        ready 6         -> TERM 4
        """,
    ),
    "two less, with listeners of their own, while another is replaced": (
        dataclasses.replace(policy(4), own_listeners=True),
        """
        start           -> spawn 1@0, spawn 2@1, spawn 3@2, spawn 4@3
        ready 1
        ready 2
        ready 3
        worn 1          -> condemn 1 REQUESTS, spawn 5@0
        fewer           -> TERM 5, TERM 4, spawn 6@0
        fewer           -> TERM 6, spawn 7@0
        ready 7         -> TERM 3, TERM 1
        more            -> spawn 8@2
        dismiss         -> TERM 8, TERM 2, TERM 7
        """,
    ),
    "one less than the reload wants, with listeners of their own": (
        dataclasses.replace(policy(2), own_listeners=True),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        reload          -> spawn 3@0
        ready 3         -> TERM 1, spawn 4@1
        fewer           -> TERM 4, RELOAD_DONE, spawn 5@0
        ready 5         -> let-go, TERM 2, TERM 3
        """,
    ),
    "guests are sent away with the others": (
        dataclasses.replace(policy(2), own_listeners=True),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        fewer           -> spawn 3@0
        dismiss         -> TERM 3, TERM 2, TERM 1
        """,
    ),
    "all are sent away, and called back": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        dismiss         -> TERM 2, TERM 1
        dismiss
        die 1 0
        +1 tick
        die 2 0
        +60 tick
        recall          -> spawn 3@0, spawn 4@1
        recall
        ready 3
        ready 4
        dismiss         -> TERM 4, TERM 3
        recall          -> spawn 5@0, spawn 6@1
        """,
    ),
    "all are sent away during a reload": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        reload          -> spawn 3@0
        ready 3         -> TERM 1, spawn 4@1
        dismiss         -> let-go, TERM 4, TERM 2, TERM 3
        """,
    ),
    "a server without workers stops": (
        policy(1),
        """
        start           -> spawn 1@0
        ready 1
        dismiss         -> TERM 1
        die 1 0
        fewer           -> LAST_WORKER
        term            -> stop-listening, finish 0
        """,
    ),
    "a silent worker: ABRT, then KILL, then a new one": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        +4 tick
        +4 tick
        +4 tick
        +4 tick
        +4 tick
        +4 tick
        +4 tick
        +2 beat 2
        +0.1 tick       -> ABRT 1
        +1.9 tick
        +0.2 tick       -> KILL 1
        +3 tick
        die 1 -9        -> spawn 3@0
        """,
    ),
    "a silent worker that ends by ABRT": (
        policy(1, timeout=2.0),
        """
        start           -> spawn 1@0
        ready 1
        +2.1 tick       -> ABRT 1
        die 1 1         -> spawn 2@0
        ready 2
        +2.1 tick       -> ABRT 2
        die 2 1         -> spawn 3@0
        """,
    ),
    "timeout 0 is none": (
        policy(1, timeout=0.0),
        """
        start           -> spawn 1@0
        ready 1
        +4 tick
        +4 tick
        +4 tick
        +4 tick
        +4 tick
        +4 tick
        +4 tick
        +4 tick
        +4 tick
        """,
    ),
    "a worker that boots slowly is not silent": (
        policy(1, timeout=2.0),
        """
        start           -> spawn 1@0
        +4 tick
        +4 tick
        ready 1
        +1 tick
        """,
    ),
    "nobody is judged for the time that the master itself was stopped": (
        policy(1, timeout=10.0),
        """
        start           -> spawn 1@0
        ready 1
        +1 tick
        +100 tick
        +4 tick
        +4 tick
        +2.1 tick       -> ABRT 1
        """,
    ),
    "reload: one after the other": (
        policy(3),
        """
        start           -> spawn 1@0, spawn 2@1, spawn 3@2
        ready 1
        ready 2
        ready 3
        reload          -> spawn 4@0
        +1 tick
        ready 4         -> TERM 1, spawn 5@1
        die 1 0
        ready 5         -> TERM 2, spawn 6@2
        ready 6         -> let-go, TERM 3, RELOAD_DONE
        die 2 0
        die 3 0
        +1 tick
        """,
    ),
    "reload: a new worker that cannot boot ends it": (
        policy(3),
        """
        start           -> spawn 1@0, spawn 2@1, spawn 3@2
        ready 1
        ready 2
        ready 3
        reload          -> spawn 4@0
        ready 4         -> TERM 1, spawn 5@1
        boot-failed 5 4
        die 5 4         -> RELOAD_STOPPED
        die 1 0
        +1 beat 2
        beat 3
        beat 4
        +10 beat 2
        +10 beat 3
        """,
    ),
    "reload after a failed reload begins again, with those that are old": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        reload          -> spawn 3@0
        die 3 4         -> RELOAD_STOPPED
        reload          -> spawn 4@0
        ready 4         -> TERM 1, spawn 5@1
        ready 5         -> let-go, TERM 2, RELOAD_DONE
        """,
    ),
    "reload during a reload: the heir has old code": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        reload          -> spawn 3@0
        reload          -> TERM 3, spawn 4@0
        die 3 -15
        ready 4         -> TERM 1, spawn 5@1
        reload          -> TERM 5, spawn 6@0
        die 5 -15
        ready 6         -> TERM 4, spawn 7@1
        ready 7         -> let-go, TERM 2, RELOAD_DONE
        """,
    ),
    "an old worker that dies during a reload is followed by the heir": (
        policy(1),
        """
        start           -> spawn 1@0
        ready 1
        reload          -> spawn 2@0
        die 1 -9        -> let-go, RELOAD_DONE
        ready 2
        """,
    ),
    "an old worker that retires during a reload is followed by the heir": (
        policy(1),
        """
        start           -> spawn 1@0
        ready 1
        reload          -> spawn 2@0
        retiring 1      -> let-go, RELOAD_DONE
        ready 2
        die 1 0
        """,
    ),
    "a worker of another seat that dies during a reload": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        reload          -> spawn 3@0
        die 2 -9        -> spawn 4@1
        ready 4
        ready 3         -> let-go, TERM 1, RELOAD_DONE
        """,
    ),
    "reload brings a worker that waits in its back-off at once": (
        policy(1),
        """
        start           -> spawn 1@0
        ready 1
        die 1 1         -> spawn 2@0
        die 2 1
        reload          -> let-go, spawn 3@0
        """,
    ),
    "reload leaves a stuck worker to its end": (
        policy(2, timeout=2.0),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        +2.1 beat 2
        tick            -> ABRT 1
        reload          -> spawn 3@1
        ready 3         -> TERM 2
        die 1 1         -> let-go, spawn 4@0, RELOAD_DONE
        """,
    ),
    "reload waits for slots when old workers drain long": (
        policy(2, capacity=3),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        reload          -> spawn 3@0
        ready 3         -> TERM 1
        +1 tick
        die 1 0         -> spawn 4@1
        ready 4         -> let-go, TERM 2, RELOAD_DONE
        """,
    ),
    "fewer during a reload takes holder and heir": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        reload          -> spawn 3@0
        ready 3         -> TERM 1, spawn 4@1
        fewer           -> let-go, TERM 4, TERM 2, RELOAD_DONE
        die 4 -15
        die 2 0
        """,
    ),
    "graceful stop": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        term            -> stop-listening, TERM 1, TERM 2
        +5 tick
        die 1 0
        more
        fewer
        +20 tick
        die 2 0         -> finish 0
        """,
    ),
    "graceful stop, and a worker that had to cut": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        term            -> stop-listening, TERM 1, TERM 2
        die 1 1
        die 2 0         -> finish 1
        """,
    ),
    "graceful stop, and a worker that does not end": (
        policy(2, graceful_timeout=5.0),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        term            -> stop-listening, TERM 1, TERM 2
        die 1 0
        +9.9 tick
        +0.2 tick       -> KILL 2
        die 2 -9        -> finish 1
        """,
    ),
    "graceful timeout 0 is none": (
        policy(1, graceful_timeout=0.0),
        """
        start           -> spawn 1@0
        ready 1
        term            -> stop-listening, TERM 1
        +1000 tick
        int             -> QUIT 1
        +2.1 tick       -> KILL 1
        die 1 -9        -> finish 1
        """,
    ),
    "quick stop": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        int             -> stop-listening, QUIT 1, TERM 2
        die 1 0
        die 2 -15       -> finish 0
        """,
    ),
    "quick stop, and a worker that served already": (
        policy(3),
        """
        start           -> spawn 1@0, spawn 2@1, spawn 3@2
        ready 1
        int             -> stop-listening, QUIT 1, TERM 2, TERM 3
        ready 2         -> QUIT 2
        ready 2
        retiring 3      -> QUIT 3
        die 1 0
        die 2 0
        die 3 1         -> finish 1
        """,
    ),
    "graceful stop, and a worker that served already": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        term            -> stop-listening, TERM 1, TERM 2
        ready 1
        +1 int          -> QUIT 1, TERM 2
        die 2 -15
        die 1 1         -> finish 1
        """,
    ),
    "quick stop, and a worker that does not end": (
        policy(1),
        """
        start           -> spawn 1@0
        ready 1
        int             -> stop-listening, QUIT 1
        +1.9 tick
        +0.2 tick       -> KILL 1
        die 1 -9        -> finish 1
        """,
    ),
    "INT after TERM, and a worker that does not end": (
        policy(1),
        """
        start           -> spawn 1@0
        ready 1
        term            -> stop-listening, TERM 1
        +0.5 int        -> QUIT 1
        +0.5 int
        +1.1 tick
        +0.5 tick       -> KILL 1
        die 1 -9        -> finish 1
        """,
    ),
    "TERM, then INT": (
        policy(1),
        """
        start           -> spawn 1@0
        ready 1
        term            -> stop-listening, TERM 1
        int             -> QUIT 1
        die 1 0         -> finish 0
        """,
    ),
    "TERM again changes nothing": (
        policy(1),
        """
        start           -> spawn 1@0
        ready 1
        term            -> stop-listening, TERM 1
        +0.01 term
        +5 term
        die 1 0         -> finish 0
        """,
    ),
    "a stop that is announced": (
        policy(2, graceful_timeout=10, drain_delay=5),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        term            -> announce
        +4.9 tick
        +0 term
        +0.1 tick       -> stop-listening, TERM 1, TERM 2
        +14.9 tick
        die 1 0
        +0.1 tick       -> KILL 2
        die 2 -9        -> finish 1
        """,
    ),
    "who dies before the stop that is announced is replaced, and nothing else begins": (
        policy(2, drain_delay=5),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        term            -> announce
        more
        fewer
        die 1 -9        -> spawn 3@0
        +1 ready 3
        retiring 2      -> spawn 4@1
        ready 4
        +4 tick         -> stop-listening, TERM 3, TERM 4
        die 2 0
        die 3 0
        die 4 0         -> finish 0
        """,
    ),
    "a reload meets the announcement of a stop": (
        policy(2, drain_delay=5),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        reload          -> spawn 3@0
        term            -> announce
        ready 3         -> TERM 1
        +5 tick         -> stop-listening, TERM 2, TERM 3
        die 1 0
        die 2 0
        die 3 0         -> finish 0
        """,
    ),
    "INT does not wait for the stop that is announced": (
        policy(1, drain_delay=5),
        """
        start           -> spawn 1@0
        ready 1
        term            -> announce
        int             -> stop-listening, QUIT 1
        +5 tick         -> KILL 1
        die 1 -9        -> finish 1
        """,
    ),
    "a stop is announced to nobody": (
        policy(1, drain_delay=5),
        """
        start           -> spawn 1@0
        term            -> stop-listening, TERM 1
        die 1 -15       -> finish 0
        """,
    ),
    "stop while everybody boots": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        term            -> stop-listening, TERM 1, TERM 2
        die 1 -15
        die 2 4         -> finish 0
        """,
    ),
    "stop while nobody is there": (
        policy(1),
        """
        start           -> spawn 1@0
        die 1 1
        term            -> stop-listening, finish 0
        """,
    ),
    "stop during a reload": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        ready 1
        ready 2
        reload          -> spawn 3@0
        ready 3         -> TERM 1, spawn 4@1
        term            -> stop-listening, TERM 2, TERM 3, TERM 4
        die 4 -15
        die 3 0
        die 2 0
        die 1 0         -> finish 0
        """,
    ),
    "ready after the stop changes nothing": (
        policy(1),
        """
        start           -> spawn 1@0
        term            -> stop-listening, TERM 1
        ready 1
        die 1 0         -> finish 0
        """,
    ),
    "ready just after the stop, and a cut": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        term            -> stop-listening, TERM 1, TERM 2
        ready 1
        die 2 -15
        die 1 1         -> finish 1
        """,
    ),
    "a crash during the stop is a cut": (
        policy(1),
        """
        start           -> spawn 1@0
        ready 1
        term            -> stop-listening, TERM 1
        die 1 -11       -> finish 1
        """,
    ),
    "a stuck worker is not told to stop, it is killed": (
        policy(1, timeout=2.0),
        """
        start           -> spawn 1@0
        ready 1
        +2.1 tick       -> ABRT 1
        term            -> stop-listening
        +2.1 tick       -> KILL 1
        die 1 -9        -> finish 1
        """,
    ),
    "a stop while the server gives up changes nothing": (
        policy(2),
        """
        start           -> spawn 1@0, spawn 2@1
        boot-failed 1 3
        die 1 3         -> give-up 3, TERM 2
        term
        int
        die 2 -15       -> finish 3
        """,
    ),
    "log files: whoever boots is told when it is ready": (
        policy(3),
        """
        start           -> spawn 1@0, spawn 2@1, spawn 3@2
        ready 1
        ready 2
        retiring 2      -> spawn 4@1
        reopen          -> USR1 1, USR1 2
        ready 3         -> USR1 3
        ready 4         -> USR1 4
        reopen          -> USR1 1, USR1 2, USR1 3, USR1 4
        term            -> stop-listening, TERM 1, TERM 3, TERM 4
        reopen          -> USR1 1, USR1 2, USR1 3, USR1 4
        """,
    ),
    "events about nobody": (
        policy(1),
        """
        start           -> spawn 1@0
        ready 9
        die 9 1
        retiring 9
        boot-failed 9 3
        beat 9
        no-fork 9
        """,
    ),
}


@pytest.mark.parametrize("name", SCENES)
def test_scene(name):
    policy, text = SCENES[name]
    Stage(policy).play(text)


def adopted(*members: tuple[int, int, Life]) -> list[Member]:
    return [
        Member(age, seat, slot, False, 10_000 + age, life, ready_at=None if life is Life.BOOTING else 900.0)
        for slot, (age, seat, life) in enumerate(members)
    ]


ADOPTIONS = {
    "all are replaced, one after the other": (
        adopted((4, 0, Life.READY), (5, 1, Life.READY)),
        """
        start           -> spawn 11@0
        beat 4
        ready 11        -> TERM 4, spawn 12@1
        ready 12        -> let-go, TERM 5, RELOAD_DONE
        die 4 0
        die 5 0
        """,
    ),
    "new code that does not boot after all: the old ones go on, and the master does not give up": (
        adopted((4, 0, Life.READY), (5, 1, Life.READY)),
        """
        start           -> spawn 11@0
        die 11 4        -> RELOAD_STOPPED
        +1 beat 4
        +1 beat 5
        """,
    ),
    "those that drain are waited for, heirs of a reload that was interrupted are told to go": (
        adopted((3, 0, Life.LEAVING), (4, 0, Life.READY), (5, 1, Life.READY), (6, 0, Life.BOOTING)),
        """
        start           -> TERM 6, spawn 11@0
        die 3 0
        die 6 -15
        ready 11        -> TERM 4, spawn 12@1
        ready 12        -> let-go, TERM 5, RELOAD_DONE
        """,
    ),
    "a worker that booted then": (
        adopted((4, 0, Life.READY), (5, 1, Life.BOOTING)),
        """
        start           -> spawn 11@0
        ready 5
        ready 11        -> TERM 4, spawn 12@1
        ready 12        -> let-go, TERM 5, RELOAD_DONE
        """,
    ),
    "an empty seat is filled": (
        adopted((4, 0, Life.READY)),
        """
        start           -> spawn 11@1, spawn 12@0
        ready 12        -> let-go, TERM 4, RELOAD_DONE
        """,
    ),
}


@pytest.mark.parametrize("name", ADOPTIONS)
def test_the_next_life_of_a_master(name):
    members, text = ADOPTIONS[name]
    Stage(policy(2), Estate(members, 10, 2)).play(text)


def test_a_next_life_that_is_no_renewal():
    """Its addresses could not be had: those who are there go on, and who dies is followed."""
    members = adopted((4, 0, Life.READY), (5, 1, Life.READY))
    Stage(policy(2), Estate(members, 10, 2, renewed=False)).play(
        """
        start
        beat 4
        die 5 -9        -> spawn 11@1
        ready 11
        +60 beat 4
        beat 11
        """
    )


def test_due_is_the_next_deadline():
    stage = Stage(policy(1, graceful_timeout=5.0))
    stage.play("start -> spawn 1@0\nready 1")
    assert stage.supervisor.due(stage.now) is None
    stage.play("die 1 1 -> spawn 2@0\ndie 2 1")
    assert stage.supervisor.due(stage.now) == stage.now + 2.0
    stage.play("+2 tick -> spawn 3@0\nready 3")
    assert stage.supervisor.due(stage.now) is None
    stage.play("term -> stop-listening, TERM 3")
    assert stage.supervisor.due(stage.now) == stage.now + 10.0


def test_a_seat_that_only_lacks_a_slot_is_nothing_to_wait_for():
    """Else the arbiter would turn without end: a deadline in the past that no tick can meet."""
    stage = Stage(policy(1, capacity=2))
    stage.play("start -> spawn 1@0\nready 1\nretiring 1 -> spawn 2@0\nready 2\nretiring 2")
    due = stage.supervisor.due(stage.now)
    assert due is not None
    assert due > stage.now


def test_started_after_the_stop_is_told_to_go():
    stage = Stage(policy(1))
    stage.forks = False
    stage.play("start -> spawn 1@0\nterm -> stop-listening")
    assert stage.tell(Started(1, 10_001)) == ["TERM 1"]
    stage.play("die 1 -15 -> finish 0")


@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.parametrize("code", [0, 1, 3, -9])
def test_workers_that_always_die_cost_few_forks(ready, code):
    """However fast they die: in an hour no more than the pauses allow. One had been ready, so it never gives up."""
    stage = Stage(policy(4))
    alive = {int(told.split()[1].partition("@")[0]) for told in stage.start()}
    forks = 4
    stage.tell(Ready(1))
    end = stage.now + 3600
    while stage.now < end:
        told = []
        for age in sorted(alive):
            if ready:
                told += stage.tell(Ready(age))
            told += stage.tell(Exited(age, code))
            alive.discard(age)
        told += stage.tell(Tick())
        spawned = {int(word.split()[1].partition("@")[0]) for word in told if word.startswith("spawn")}
        assert not any(word.startswith(("give-up", "finish")) for word in told)
        forks += len(spawned)
        alive |= spawned
        due = stage.supervisor.due(stage.now)
        stage.now = min(stage.now + 1.0, due) if due is not None else stage.now + 0.01
    assert forks <= 4 * (3600 / BACK_OFF_MOST + 15)
    assert stage.supervisor.phase is Phase.SERVING


@pytest.mark.parametrize("seed", range(300))
def test_whatever_happens(seed):
    """Random lives: never too many processes, never a forgotten one, and a stop always comes to its end."""
    rng = random.Random(seed)
    workers = rng.randint(1, 4)
    plan = policy(
        workers,
        timeout=rng.choice([0.0, 5.0]),
        graceful_timeout=rng.choice([1.0, 8.0]),
        awaits_changes=rng.random() < 0.3,
    )
    stage = Stage(dataclasses.replace(plan, own_listeners=rng.random() < 0.5))
    supervisor = stage.supervisor
    told = stage.start()
    killed: set[int] = set()
    stopping = False
    before = 0
    for _ in range(400):
        if supervisor.phase is Phase.SERVING and rng.random() < 0.02:
            before = max(supervisor.wanted, before)
            told += stage.reload(rng.choice(["", "1", "3"]))
            supervisor = stage.supervisor
        alive = list(stage.slots)
        killed |= {int(word.split()[1]) for word in told if word.startswith("KILL")}
        if any(word.startswith("finish") for word in told):
            break
        assert len(alive) <= stage.policy.capacity
        if alive and rng.random() < 0.8:
            age = rng.choice(alive)
            event = rng.choice(
                [
                    Ready(age),
                    Beat(age, stage.now),
                    Retiring(age),
                    Worn(age, Cause.MEMORY),
                    BootFailed(age, 4),
                    Exited(age, rng.choice([0, 1, 3, -9])),
                ]
            )
        else:
            event = rng.choice([Tick(), Dismiss(), Recall(), More(), Fewer(), Reopen(), Restart(), Tick(), Tick()])
            if rng.random() < 0.02:
                event, stopping = Stop(rng.choice(list(Manner))), True
        stage.now += rng.choice([0.0, 0.0, 0.1, 1.0, 3.0])
        told = stage.tell(event)
        if not stopping and supervisor.phase is Phase.SERVING:
            assert (
                len({m.seat for m in supervisor.members if m.life in (Life.BOOTING, Life.READY)})
                <= max(supervisor.wanted, before) + 1 + 4 * stage.policy.own_listeners
            )
        assert len({member.slot for member in supervisor.members}) == len(supervisor.members)
    # The end: nobody reacts to anything but SIGKILL.
    told += stage.tell(Stop(Manner.GRACEFUL))
    for _ in range(100):
        if supervisor.phase is Phase.GONE:
            break
        killed |= {int(word.split()[1]) for word in told if word.startswith("KILL")}
        told = []
        for age in list(stage.slots):
            if age in killed:
                told += stage.tell(Exited(age, -9))
        stage.now += 0.5
        told += stage.tell(Tick())
    assert supervisor.phase is Phase.GONE
    assert not stage.slots


def test_signals_in_actions_are_signals():
    stage = Stage(policy(1))
    stage.play("start -> spawn 1@0\nready 1")
    (stop, kill) = stage.supervisor.handle(Stop(Manner.GRACEFUL), stage.now)
    assert isinstance(stop, StopListening)
    assert isinstance(kill, Kill)
    assert kill.signal is signal.SIGTERM
