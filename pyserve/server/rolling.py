"""Replacing workers that serve, one at a time: the successor boots on the same seat, beside the old one, and only when
it serves is the old one told to go.

    renewal   this is a new life of the master (HUP): everybody of the life before is replaced. Whatever cannot boot
              stops it, and the others go on. More workers than before are started once one of the new ones has shown
              that it boots, and fewer are left when all others are new.
    wear      a worker has served for long enough, or holds too much memory. A successor that cannot boot is tried
              again after a pause, longer each time, while the old worker goes on.

Where each seat has listeners of its own (`--reuse-port`), one worker less needs a third kind: the kernel goes on to
queue clients for a listener until it is closed, and resets them then. So it stays open, another seat takes it over with
a new worker, and only when that serves does the worker go whose seat was taken away. Until then it is a guest.
"""

from __future__ import annotations

from pyserve.server.events import News, Say
from pyserve.server.seats import Life, Member, Seat
from pyserve.server.staff import Staff


class Rolling:
    """wanted: how many workers there should be. renewing: a renewal is under way; `before` is how many were wanted in
    the life before, None for a first life."""

    def __init__(self, staff: Staff, wanted: int, before: int | None) -> None:
        self._staff = staff
        self._before = before or 0
        self._proven = False
        self._resized = -1  # age of the last member that was spawned when another number was wanted
        self._guests: list[tuple[Member, int]] = []  # with the seats whose next workers relieve them
        self.wanted = wanted
        self.renewing = before is not None

    def withholds(self, seat: Seat) -> bool:
        """Whether an empty seat is not to be filled yet."""
        if seat.number >= self.wanted:
            return True
        return self.renewing and not self._proven and seat.number >= self._before

    def step(self, now: float) -> None:
        """Start a successor if it is time for one."""
        if any(seat.heir for seat in self._staff.seats):
            return
        if self.renewing:
            self._renew(now)
        if not self.renewing:
            self._recycle(now)

    def serves(self, member: Member, now: float) -> None:
        """A worker is ready."""
        if not member.old:
            self._proven = True
        if member.age > self._resized:
            for guest, _ in [entry for entry in self._guests if entry[1] == member.seat]:
                self._relieve(guest, now)

    def failed(self) -> None:
        """A worker of this life could not boot: a renewal ends, with as many workers as there are."""
        if not self.renewing:
            return
        self.renewing = False
        seats = self._staff.seats
        while len(seats) > max(self._before, 1) and seats[-1].holder is None:
            seats.pop()
        self.wanted = len(seats)
        self._staff.out.append(Say(News.RELOAD_STOPPED))

    def resize(self, wanted: int, now: float) -> None:
        """More or fewer. A renewal to fewer workers keeps the others until it has ended."""
        self.wanted = wanted
        self._resized = self._staff.age
        seats = self._staff.seats
        seats += [Seat(number) for number in range(len(seats), wanted)]
        for seat in seats[wanted:]:
            if seat.heir is not None:
                self._staff.retire(seat.heir, now)
        if not (self.renewing and wanted):
            self.renewing = False
            self._shrink(now)

    def _renew(self, now: float) -> None:
        seats = self._staff.seats
        old = [seat for seat in seats[: self.wanted] if seat.holder is not None and seat.holder.old]
        for seat in old:
            # A stuck holder is about to die, and is followed by a new worker anyway.
            if seat.holder is not None and seat.holder.life is not Life.STUCK and now >= seat.not_before:
                seat.heir = self._staff.spawn(seat.number)
                return
        if not old and (self._proven or len(seats) <= self.wanted):
            self.renewing = False
            self._shrink(now)
            self._staff.out.append(Say(News.RELOAD_DONE))

    def _shrink(self, now: float) -> None:
        """Take the seats away that are not wanted."""
        staff = self._staff
        if not self.wanted:
            for guest, _ in list(self._guests):
                self._relieve(guest, now)
        elif staff.policy.own_listeners:
            for seat in staff.seats[self.wanted :]:
                self._take_over(seat, staff.seats[seat.number % self.wanted], now)
        staff.clear(now, down_to=self.wanted)

    def _take_over(self, seat: Seat, by: Seat, now: float) -> None:
        """The listeners of a seat are to be another's, which needs a new worker if it does not have them yet."""
        if by.holder is not None and by.holder.age > self._resized and by.holder.life is Life.READY:
            return
        if by.heir is not None and by.heir.age <= self._resized:
            self._staff.retire(by.heir, now)
        if by.holder is not None and by.holder.worn_at is None:
            by.holder.worn_at = now
        if seat.holder is not None and seat.holder.life is Life.READY:
            self._guests.append((seat.holder, by.number))
            seat.holder = None

    def _relieve(self, guest: Member, now: float) -> None:
        self._guests = [entry for entry in self._guests if entry[0] is not guest]
        if guest.life is Life.READY and guest.age in self._staff.members:
            self._staff.retire(guest, now)

    def _recycle(self, now: float) -> None:
        worn = [
            (seat.holder.worn_at, seat)
            for seat in self._staff.seats
            if seat.holder is not None and seat.holder.worn_at is not None and seat.holder.life is Life.READY
        ]
        for _, seat in sorted(worn, key=lambda pair: pair[0]):
            if now >= seat.not_before:
                seat.heir = self._staff.spawn(seat.number)
                return
