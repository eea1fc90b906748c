"""The way out of a connection, with a transport that only notes what it gets; files are tested in test_spans."""

import asyncio
from typing import Any

import pytest

from pyserve.protocol.exchange import FileSpan
from pyserve.workers.async_worker.writer import HIGH_WATER, Writer
from pyserve.workers.deadlines import Phase


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.limits: list[tuple[int, int]] = []

        self.waiting = 0

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.writes += list_of_data

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        assert low is not None
        self.limits.append((high, low))


@pytest.fixture
def transport() -> Transport:
    return Transport()


def make(transport: Transport) -> Writer:
    writer = Writer(asyncio.get_running_loop())
    writer.connection_made(transport)
    return writer


def test_small_pieces_leave_together_and_large_ones_are_not_copied(transport: Transport) -> None:
    async def main() -> None:
        writer = make(transport)
        writer.write_pieces([b"a", b"b", b"c"])
        assert transport.writes == [b"abc"]
        large = b"x" * 1_000_000
        writer.write_pieces([b"head", large])
        assert transport.writes[1:] == [b"head", large]
        assert writer.written == 3 + 4 + 1_000_000
        assert transport.limits == [(HIGH_WATER, HIGH_WATER // 4)]

    asyncio.run(main())


def test_behind_something_large_nothing_is_written_before_it_is_gone(transport: Transport) -> None:
    async def main() -> None:
        writer = make(transport)
        transport.waiting = 10
        writer.write_pieces([b"head", b"x" * 1_000_000])
        assert transport.limits[1:] == [(0, 0)]
        writer.pause_writing()
        writer.resume_writing()
        assert transport.limits[2:] == [(HIGH_WATER, HIGH_WATER // 4)]
        writer.write_pieces([b"small"])
        assert len(transport.limits) == 3

    asyncio.run(main())


def test_others_have_their_turn_when_a_response_never_meets_a_full_buffer(transport: Transport) -> None:
    async def main() -> None:
        writer = make(transport)
        yields = 0
        for _ in range(100):
            writer.write(b"x" * 10_000)
            turn = writer.writable()
            if turn is not None:
                yields += 1
                await turn
        assert yields == 1_000_000 // (HIGH_WATER + 10_000 - HIGH_WATER % 10_000)

    asyncio.run(main())


def test_waiting_for_room(transport: Transport) -> None:
    async def main() -> None:
        writer = make(transport)
        assert not writer.full
        writer.pause_writing()
        assert writer.full
        waits = writer.writable()
        assert isinstance(waits, asyncio.Future)
        assert not waits.done()
        writer.resume_writing()
        await waits
        assert writer.writable() is None

    asyncio.run(main())


def test_nothing_is_written_once_the_connection_is_not_served(transport: Transport) -> None:
    async def main() -> None:
        closed = []
        writer = make(transport)
        writer.pause_writing()
        waits = writer.room()
        writer._stop_writing()
        await waits
        assert writer.phase is Phase.CLOSED
        assert not writer.full
        writer.write(b"a")
        writer.write_pieces([b"a", FileSpan(9, 0, 1, lambda: closed.append("span"))])
        assert transport.writes == []
        assert closed == ["span"]
        assert not writer.limit(0)

    asyncio.run(main())
