"""One replay: bounded while the edge is slow, and over when it is stopped."""

import asyncio
import io
import threading
import time
from collections.abc import Callable, Sequence

from deploy.access_log.batches import Batches
from deploy.access_log.delivery import Delivery, Rejection
from deploy.access_log.event_ids import EventIds
from deploy.access_log.page_view import PageViews
from deploy.access_log.replay import Confirmed, Replay
from deploy.access_log.source import LogSource
from deploy.access_log.visitors import VisitorIds

LINE = b'192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1\n'
CONCURRENCY = 2
DEADLINE_SECONDS = 20.0


class Endless(io.RawIOBase):
    def read(self, size: int = -1) -> bytes:
        return LINE * (size // len(LINE))


class Stalled(Delivery):
    """An edge that never answers."""

    def __init__(self) -> None:
        self.under_way = 0

    async def send(self, events: Sequence[bytes]) -> list[Rejection]:
        self.under_way += 1
        await asyncio.Event().wait()
        return []


async def eventually(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


def reader() -> threading.Thread | None:
    return next((each for each in threading.enumerate() if each.name == "replay-reader"), None)


async def test_an_edge_that_stalls_stops_the_reading_and_a_stop_ends_both() -> None:
    source = LogSource(Endless(), name="log", size=None)
    batches = Batches(source, PageViews(EventIds(), VisitorIds(b"k" * 32), None))
    delivery = Stalled()
    replay = Replay(batches, delivery, Confirmed(), concurrency=CONCURRENCY)
    running = asyncio.create_task(replay.run())
    # In flight and read ahead, and the one that the reader holds in its hands.
    most = (2 * CONCURRENCY + 1) * 1000
    await eventually(lambda: batches.reading.page_views > most)
    assert delivery.under_way == CONCURRENCY
    assert reader() is not None
    replay.stop()
    assert await running is False
    await eventually(lambda: reader() is None)
    assert batches.reading.page_views == most + 1
