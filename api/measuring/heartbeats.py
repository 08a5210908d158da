"""How fresh the answers are: a message to Kafka now and then, and how soon it is in ClickHouse."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from time import monotonic
from typing import Final, Protocol
from uuid import uuid4

import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError

from api.clickhouse import Row
from api.problems import Problem
from api.publishing import KafkaUnavailable, Message, Publisher
from schemas.heartbeats import Heartbeat
from schemas.metrics.edge import FRESHNESS, HEARTBEAT_AGE, HEARTBEATS
from schemas.metrics.instruments import at_scrape, counter, histogram
from schemas.topics import HEARTBEATS as TOPIC

log = structlog.get_logger()

FIRST_SECONDS: Final = 1.0
"""After so long the first one is sent, when Kafka is connected to."""
SHORTEST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 2.0
PART_OF_THE_WAIT: Final = 10
"""Between two looks lies this part of what was waited already: what takes longer is looked for
less often."""
LOST_SECONDS: Final = 3600.0
MOST_AWAITED: Final = 1_000

# By the table's key: one granule, however many there are.
_NEWEST: Final = """
SELECT max(number) FROM heartbeats
WHERE process_id = {process_id:UUID}
"""


class Questions(Protocol):
    """What is needed of ClickHouse."""

    async def ask(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        """The rows of a question. Raises a Problem when there is no answer now."""


class Heartbeats:
    """Of one API process. One thing is done at a time, so nothing piles up, whatever is away."""

    def __init__(
        self,
        publisher: Publisher,
        clickhouse: Questions,
        *,
        every: float,
        clock: Callable[[], datetime],
        timer: Callable[[], float] = monotonic,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`every`: seconds from one to the next. `pause`: waits so many seconds."""
        self._publisher = publisher
        self._clickhouse = clickhouse
        self._every = every
        self._clock = clock
        self._timer = timer
        self._pause = pause
        self._process_id = uuid4()
        self._number = 0
        # When each was sent that was not found yet, in the order of their numbers.
        self._awaited: dict[int, float] = {}
        self._newest_sent = timer()
        self._answered = True
        at_scrape(HEARTBEAT_AGE, self._age)

    async def run(self) -> None:
        """Sends and looks until it is cancelled."""
        await self._pause(min(FIRST_SECONDS, self._every))
        while True:
            due = self._timer() + self._every
            await self._send()
            await self._look(until=due)
            self._give_up()
            await self._pause(max(0.0, due - self._timer()))

    async def _send(self) -> None:
        self._number += 1
        number = self._number
        beat = Heartbeat(
            heartbeat_id=uuid4(),
            process_id=self._process_id,
            number=number,
            sent_at=self._clock(),
        )
        message = Message(
            TOPIC.name, str(self._process_id).encode(), beat.model_dump_json().encode()
        )
        self._awaited[number] = self._timer()
        try:
            await self._publisher.publish([message])
        except KafkaUnavailable:
            # It may arrive all the same; then it only says nothing.
            del self._awaited[number]
            counter(HEARTBEATS, "unconfirmed").inc()

    async def _look(self, *, until: float) -> None:
        """Asks until all are found that were sent, or it is time for the next."""
        began = self._timer()
        while self._awaited and (now := self._timer()) < until:
            pause = min(LONGEST_PAUSE, max(SHORTEST_PAUSE, (now - began) / PART_OF_THE_WAIT))
            await self._pause(min(pause, until - now))
            await self._find()

    async def _find(self) -> None:
        try:
            [[newest]] = await self._clickhouse.ask(_NEWEST, {"process_id": str(self._process_id)})
        except (Problem, ClickHouseError) as error:
            if self._answered:
                log.warning("heartbeats cannot be looked for", reason=str(error))
            self._answered = False
            return
        self._answered = True
        now = self._timer()
        for number in [each for each in self._awaited if each <= int(str(newest))]:
            self._newest_sent = self._awaited.pop(number)
            histogram(FRESHNESS).observe(now - self._newest_sent)
            counter(HEARTBEATS, "stored").inc()

    def _give_up(self) -> None:
        """Looks no more for those that are very late."""
        while self._awaited:
            number, sent = next(iter(self._awaited.items()))
            if len(self._awaited) <= MOST_AWAITED and self._timer() - sent < LOST_SECONDS:
                return
            del self._awaited[number]
            counter(HEARTBEATS, "lost").inc()

    def _age(self) -> dict[tuple[str, ...], float]:
        return {(): self._timer() - self._newest_sent}
