"""A TLS connection of the sync worker: what `Channel` and `Connection` do with a socket, done with an encrypted one.

The handshake is driven by the epoll like any other waiting, under the deadline of the first request's head, which it
shares: no thread waits in it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any

from pyserve.protocol.exchange import Exchange
from pyserve.protocol.wsgi import Environ
from pyserve.workers.scoreboard import TIMEOUTS_HEADER
from pyserve.workers.thread_worker.channel import RECEIVE_HEAD, Stage
from pyserve.workers.thread_worker.connection import Connection
from pyserve.workers.thread_worker.table import READ, WRITE, Owner
from pyserve.workers.tls.channel import State, TlsChannel, wrong_port
from pyserve.workers.tls.facts import environ_of

if TYPE_CHECKING:
    from pyserve.workers.thread_worker.deck import Deck
    from pyserve.workers.thread_worker.hand import Hand

_AT_ONCE = 65536  # octets that are encrypted before the peer has taken them
_MOST = 4 * _AT_ONCE  # octets that wait for a peer which makes TLS answer and does not read

_OPEN, _PLAIN = State.OPEN, State.PLAIN


class TlsSocket(socket.socket):
    """The socket of `peer`, which it takes over. `recv` gives and `send` takes plain octets.

    tls: the connection's. sent: octets that the kernel has taken, as they are on the wire. deaf: what comes is thrown
    away, so it need not be decrypted.
    """

    __slots__ = ("_offset", "_owed", "_pending", "_strict", "_unread", "deaf", "sent", "tls")

    def __init__(self, peer: socket.socket, tls: TlsChannel, *, strict: bool) -> None:
        """strict: an end that the peer has not announced in TLS is a broken connection."""
        super().__init__(peer.family, peer.type, peer.proto, peer.detach())
        self.tls = tls
        self.sent = 0
        self.deaf = False
        self._strict = strict
        self._pending = b""  # records to be written
        self._offset = 0  # octets of them that have gone
        self._owed = 0  # plain octets in them
        self._unread = b""  # what came with the end of the handshake

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Receive once, all that it says; BlockingIOError where that is nothing yet. A peek shows what is encrypted."""
        if flags or self.deaf:
            return super().recv(bufsize, flags)
        if self._unread:
            plain, self._unread = self._unread, b""
            return plain
        if self.tls.ended:  # by what came behind the octets that were returned last
            if self.tls.state is State.FAILED:
                raise ConnectionAbortedError(self.tls.complaint)
            return b""
        tls = self.tls
        data = super().recv(bufsize)
        if not data:
            if not tls.receive_eof() and self._strict:
                raise ConnectionAbortedError("the connection was cut off")
            return b""
        plain = tls.receive(data)
        if answer := tls.take():
            self._add(answer)
            if not self.write_pending() and len(self._pending) > _MOST:
                raise ConnectionAbortedError("the peer does not read what it asks for")
        if plain:
            return plain
        if tls.state is State.FAILED:
            raise ConnectionAbortedError(tls.complaint)
        if tls.ended:
            return b""
        raise BlockingIOError

    @property
    def waits_to_write(self) -> bool:
        """Whether records are left to be written."""
        return bool(self._pending)

    def unread(self, data: bytes) -> None:
        """Have the next `recv` return this."""
        self._unread = data

    def send(self, data: Any, flags: int = 0) -> int:
        """Send once; returns how many octets have gone whole, with the records that they are in.

        While they have not it raises BlockingIOError, and the next call is to begin with the same octets.
        """
        if self.tls.state is not _OPEN:
            return self._send_plainly(data, flags)
        if self._pending and not self.write_pending():
            raise BlockingIOError
        if not self._owed and data:
            size = self._owed = min(len(data), _AT_ONCE)
            self._add(b"".join(self.tls.send(data if size == len(data) else memoryview(data)[:size])))
            if not self.write_pending():
                raise BlockingIOError
        owed, self._owed = self._owed, 0
        return owed

    def sendmsg(self, buffers: Iterable[Any], ancdata: Any = (), flags: int = 0, address: Any = None) -> int:
        """As `send`; small pieces share a record."""
        if self._owed:
            return self.send(b"")  # the same octets as before: they are not looked at
        pieces: list[Any] = []
        room = _AT_ONCE
        for piece in buffers:
            pieces.append(piece[:room])
            room -= len(piece)
            if room <= 0:
                break
        return self.send(b"".join(pieces), flags)

    def _send_plainly(self, data: Any, flags: int) -> int:
        if self.tls.state is not _PLAIN:
            raise ConnectionAbortedError("there is no TLS to send it with")
        return super().send(data, flags)

    def _add(self, records: bytes) -> None:
        self._pending = self._pending[self._offset :] + records
        self._offset = 0

    def write_pending(self) -> bool:
        """Write records without waiting; False while some are left."""
        try:
            while self._pending:
                rest = memoryview(self._pending)[self._offset :] if self._offset else self._pending
                sent = super().send(rest)
                self.sent += sent
                self._offset += sent
                if self._offset == len(self._pending):
                    self._pending = b""
                    self._offset = 0
        except BlockingIOError:
            return False
        return True

    def say_goodbye(self) -> None:
        """Tell the peer that nothing more comes (close_notify), if that can be written at once."""
        try:
            if farewell := self.tls.close():
                self._add(farewell)
            self.write_pending()
        except OSError:
            pass  # it has gone

    def shutdown(self, how: int) -> None:
        """Shut down. From any thread for both directions: TLS itself is not touched then."""
        if how == socket.SHUT_WR:
            self.say_goodbye()
        super().shutdown(how)


class TlsConnection(Connection):
    """The driver of one connection over TLS, from its first octet."""

    __slots__ = ("_is_open", "_peer")

    def __init__(self, deck: Deck, peer: socket.socket, template: Environ, now: float) -> None:
        certificates = deck.crew.certificates
        assert certificates is not None
        strict = not deck.crew.settings.suppress_ragged_eofs
        self._peer = TlsSocket(peer, TlsChannel(certificates), strict=strict)
        super().__init__(deck, self._peer, template, now)
        self._is_open = False

    def resume(self, octets: bytes) -> None:
        """Take octets that were received before this object was made; more are at hand."""
        self._peer.tls.receive(octets)

    # Events

    def ready(self, hand: Hand) -> None:
        """What was waited for has come."""
        if self.stage is Stage.SHAKING:
            try:
                done = self._peer.write_pending()
            except OSError:
                self._break(hand)
                return
            if not done:
                self._deck.table.park(self, hand, WRITE)
                return
            self.stage = Stage.READING
        if self._is_open or self.stage is Stage.LINGERING:
            super().ready(hand)
        else:
            self._shake_hands(hand)

    def _shake_hands(self, hand: Hand) -> None:
        peer = self._peer
        try:
            data = peer.recv(RECEIVE_HEAD)
        except BlockingIOError:
            data = b""
        except OSError:
            self._break(hand)
            return
        state = peer.tls.state
        if state is _OPEN:
            self._is_open = True
            self._template.update(environ_of(peer.tls))
        elif state is _PLAIN:
            self._is_open = True
            self.wire.refuse(wrong_port(), data)
            self._await(hand, monotonic())
            return
        elif state is State.FAILED or peer.tls.ended:
            self._break(hand)
            return
        if data:
            peer.unread(data)
            super().ready(hand)
        elif peer.waits_to_write:
            self.stage = Stage.SHAKING
            self._deck.table.park(self, hand, WRITE)
        else:
            self._deck.table.park(self, hand, READ)

    def _break(self, hand: Hand) -> None:
        """There will be no TLS. The alert that says why is to arrive: so no reset."""
        self._eof = self._peer.tls.ended and not self._peer.tls.complaint
        self.wire.expire()
        self._await(hand, monotonic())

    def expire(self, owner: Owner, now: float) -> None:
        """The deadline has passed."""
        if self.stage is Stage.SHAKING:
            owner.words[TIMEOUTS_HEADER] += 1
            self.reset(owner)
        else:
            super().expire(owner, now)

    # What is different with records

    def _notice_end(self) -> None:
        """An end that came in one piece with a request has no event of its own."""
        tls = self._peer.tls
        if tls.ended and tls.state is _OPEN and not self._eof:
            self._eof = True
            self.wire.receive_eof()

    def _finish(self, owner: Owner, exchange: Exchange, now: float) -> None:
        super()._finish(owner, exchange, now)
        self._notice_end()

    def _await(self, owner: Owner, now: float) -> None:
        self._notice_end()
        super()._await(owner, now)

    def _push(self) -> bool:
        done = super()._push()
        self._sent = self._peer.sent
        return done

    def _arrived(self, exchange: Exchange) -> int:
        return exchange.received + self._peer.tls.partial

    def _nothing_came(self, hand: Hand) -> None:
        """A part of a record is progress, too."""
        arriving = self.wire.exchange
        if arriving is not None and self._is_open:
            now = monotonic()
            pace = self._pace_inward(arriving)
            pace.end(self._arrived(arriving), now)
            self.deadline = pace.begin(now)
        super()._nothing_came(hand)

    # The end

    def close(self, owner: Owner) -> None:
        """Close. What is not written is lost, but for the peer being told."""
        self._peer.say_goodbye()
        super().close(owner)

    def _discard(self, owner: Owner) -> None:
        self._peer.deaf = True
        super()._discard(owner)

    def _drop(self, owner: Owner) -> None:
        complaint = self._peer.tls.complaint
        if complaint and self.wire.error is None:  # else it was told already what is wrong with this peer
            self._deck.crew.log.info("TLS with %s failed: %s", self.remote or "unix socket", complaint)
        super()._drop(owner)
