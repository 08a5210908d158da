"""Who watches the newest events, and the one poller of a process that asks for all of them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass
from typing import Final, Protocol, Self

import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError

from api.analytics.newest import MOST_TOLD, Batch, LiveEvent, Wanted
from api.analytics.positions import Position
from api.problems import Problem, unavailable
from schemas.metrics.edge import WATCHERS
from schemas.metrics.instruments import at_scrape

log = structlog.get_logger()

POLL_SECONDS: Final = 0.3
"""With the sink's linger and two short questions an event is shown within a second."""
LONGEST_POLL_SECONDS: Final = 5.0
"""So far apart are questions while ClickHouse is away."""
MAX_WATCHERS: Final = 200
RETRY_SECONDS: Final = 10.0
"""When to come again if all places are taken."""


class Questions(Protocol):
    """What the poller asks; each raises a Problem when there is no answer now."""

    async def count(self) -> int:
        """Another number when something was stored."""

    async def end(self) -> Position:
        """The position behind all that is stored."""

    async def since(self, start: Position, end: Position | None = None) -> Batch:
        """What lies behind `start`."""


@dataclass(frozen=True, slots=True)
class News:
    """What is new to a watcher, in the order in which it is told."""

    fresh: bool
    skipped: int
    events: Sequence[LiveEvent]
    stale: bool
    ended: bool


class Watcher:
    """What is kept for one who watches: at most MOST_TOLD events, however slowly it reads."""

    def __init__(self, wanted: Wanted, start: Position) -> None:
        """`start`: all that is put in later lies behind it."""
        self.start = start
        self._wanted = wanted
        self._events: deque[LiveEvent] = deque()
        self._skipped = 0
        self._stale = False
        self._told_stale = False
        self._ended = False
        self._changed = asyncio.Event()

    def put(self, batch: Batch) -> None:
        skipped, events = batch.told_to(self._wanted)
        self._events.extend(events)
        self._skipped += skipped
        while len(self._events) > MOST_TOLD:
            self._events.popleft()
            self._skipped += 1
        if skipped or events:
            self._changed.set()

    def set_stale(self, *, stale: bool) -> None:
        self._stale = stale
        self._changed.set()

    def end(self) -> None:
        """Nothing more is put in."""
        self._ended = True
        self._changed.set()

    async def news(self) -> News:
        """Waits until there are some; all of them are taken."""
        await self._changed.wait()
        self._changed.clear()
        events, skipped = list(self._events), self._skipped
        self._events.clear()
        self._skipped = 0
        turned, self._told_stale = self._stale != self._told_stale, self._stale
        return News(
            fresh=turned and not self._stale,
            skipped=skipped,
            events=events,
            stale=turned and self._stale,
            ended=self._ended,
        )


class LiveRoom:
    """Polls while somebody watches, and tells everybody who does."""

    def __init__(
        self,
        questions: Questions,
        *,
        most: int = MAX_WATCHERS,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`pause`: waits so many seconds between two polls."""
        self._questions = questions
        self._most = most
        self._pause = pause
        self._places = 0
        self._watchers: set[Watcher] = set()
        self._poller: asyncio.Task[None] | None = None
        self._asking = asyncio.Lock()
        self._position = Position(0, {})
        self._count: int | None = None
        at_scrape(WATCHERS, lambda: {(): self._places})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    def watched(self) -> int:
        """How many watch now."""
        return self._places

    def polls(self) -> bool:
        """Whether ClickHouse is asked."""
        return self._poller is not None

    @asynccontextmanager
    async def watch(self, wanted: Wanted, after: Position | None = None) -> AsyncIterator[Watcher]:
        """A place until the block ends; the watcher's `start` is not before `after`.

        Raises a 503 Problem when all places are taken, or ClickHouse does not answer.
        """
        if self._places >= self._most:
            raise unavailable(
                f"{self._most} watch the newest events, as many as can at once; "
                "come again when one of them has left",
                retry_after=RETRY_SECONDS,
            )
        self._places += 1
        watcher: Watcher | None = None
        try:
            if self._poller is None:
                await self._start()
            if after is not None and not self._position.covers(after):
                # Another process was further, and has told it.
                await self.poll()
                if self._poller is None:
                    # It failed meanwhile.
                    await self._start()
            # Whatever the poller waits for: it moves the position and tells of it at once.
            watcher = Watcher(wanted, self._position)
            self._watchers.add(watcher)
            yield watcher
        finally:
            self._places -= 1
            if watcher is not None:
                self._watchers.discard(watcher)
            if not self._places:
                await self._stop()

    async def poll(self) -> None:
        """Asks what is new, and tells it. Raises a Problem when there is no answer."""
        async with self._asking:
            await self._ask()

    async def _ask(self) -> None:
        count = await self._questions.count()
        if count == self._count:
            return
        batch = await self._questions.since(self._position)
        self._position, self._count = batch.end, count
        for watcher in self._watchers:
            watcher.put(batch)

    async def _follow(self) -> None:
        wait = POLL_SECONDS
        while True:
            await self._pause(wait)
            try:
                await self.poll()
            except (Problem, ClickHouseError) as error:
                if wait == POLL_SECONDS:
                    log.warning("the newest events cannot be asked for", reason=str(error))
                wait = min(2 * wait, LONGEST_POLL_SECONDS)
                self._set_stale(stale=True)
            else:
                if wait > POLL_SECONDS:
                    log.info("the newest events can be asked for again")
                    wait = POLL_SECONDS
                    self._set_stale(stale=False)

    def _set_stale(self, *, stale: bool) -> None:
        for watcher in self._watchers:
            watcher.set_stale(stale=stale)

    def _poller_ended(self, poller: asyncio.Task[None]) -> None:
        if poller.cancelled():
            return
        log.error("the poller of the newest events failed", exc_info=poller.exception())
        if self._poller is poller:
            self._poller = None
        # They connect again, and the first of them starts another one.
        for watcher in self._watchers:
            watcher.end()
        # The other one begins further on: what it tells does not follow what these were told.
        self._watchers.clear()

    async def _start(self) -> None:
        async with self._asking:
            if self._poller is None:
                self._position, self._count = await self._questions.end(), None
                # It is not part of the request that happens to be the first.
                self._poller = asyncio.create_task(self._follow(), context=Context())
                self._poller.add_done_callback(self._poller_ended)

    async def _stop(self) -> None:
        poller, self._poller = self._poller, None
        if poller is not None:
            poller.cancel()
            await asyncio.gather(poller, return_exceptions=True)
