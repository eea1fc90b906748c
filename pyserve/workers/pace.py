"""How slow a peer may be.

A peer that lets others wait has `timeout` seconds of credit. Waiting spends them, and each octet that goes over gives
1/`rate` of a second back, up to the whole. So it may pause for `timeout` seconds, but one that moves an octet now and
then, just often enough not to be silent, uses its credit up. Time in which nobody waits for it costs nothing.

Precedents: Apache's mod_reqtimeout (MinRate=500, after 20 s), Kestrel's MinRequestBodyDataRate and MinResponseDataRate
(240 octets a second, after 5 s).
"""


def regain(since: float, octets: int, now: float, rate: int) -> float:
    """Move `since`, from which the timeout counts, for octets that have gone over; rate 0: any of them is enough."""
    if octets <= 0:
        return since
    return min(now, since + octets / rate) if rate else now


class Pace:
    """The credit of one peer in one message, where somebody waits for it again and again.

    Around each wait: `begin`, and `end` with all octets that have gone over so far. until: when the credit of the
    present wait is used up (seconds of the caller's clock, as all times here). message: which one it is, the caller's.
    """

    __slots__ = ("_counted", "_rate", "_since", "_spent", "_timeout", "_waits", "message")

    def __init__(self, timeout: float, rate: int, message: int, octets: int) -> None:
        """timeout: inf for none. rate: octets a second, 0 for none. octets: that have gone over before."""
        self.message = message
        self._timeout = timeout
        self._rate = rate
        self._counted = octets
        self._spent = 0.0
        self._since = 0.0
        self._waits = False

    def begin(self, now: float) -> float:
        """A wait begins; returns `until`."""
        self._waits = True
        self._since = now - self._spent
        return self.until

    @property
    def until(self) -> float:
        return self._since + self._timeout

    def end(self, octets: int, now: float) -> None:
        """The wait is over, if there was one; `octets` have gone over since the beginning of all."""
        if self._waits:
            self._waits = False
            self._since = regain(self._since, octets - self._counted, now, self._rate)
            self._spent = now - self._since
            self._counted = octets

    def look(self, octets: int, now: float, awaited: bool) -> bool:
        """Judge by looks from time to time. awaited: somebody waits; returns whether for longer than the credit."""
        self.end(octets, now)
        return awaited and self.begin(now) < now
