"""Heartbeats measure how long the way is, and pile nothing up when it is closed."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import count

import orjson
import pytest

from api.clickhouse import Row
from api.measuring.heartbeats import LONGEST_PAUSE, LOST_SECONDS, MOST_AWAITED, Heartbeats
from api.problems import unavailable
from api.publishing import KafkaUnavailable, Message
from schemas.metrics.edge import FRESHNESS, HEARTBEAT_AGE, HEARTBEATS
from tests.scrapes import Scrape, shown_here

NOW = datetime(2026, 11, 27, tzinfo=UTC)
EVERY = 10.0


class End(Exception):
    """The time of a test is over."""


class World:
    """Kafka, ClickHouse and time. What is sent is stored `delay` seconds later."""

    def __init__(self, *, delay: float = 0.0, until: float = 60.0) -> None:
        self.now = 100.0
        self.delay = delay
        self.until = self.now + until
        self.sent: list[tuple[int, float]] = []
        self.asked: list[float] = []
        self.kafka_is_away = False
        self.clickhouse_is_away = False
        self.steps = count()
        self.cancelled_at: int | None = None
        self.before = shown_here("api")

    def heartbeats(self) -> Heartbeats:
        return Heartbeats(
            self, self, every=EVERY, clock=lambda: NOW, timer=lambda: self.now, pause=self.pause
        )

    async def run(self) -> None:
        with pytest.raises(End):
            await self.heartbeats().run()

    def step(self) -> None:
        if next(self.steps) == self.cancelled_at:
            raise asyncio.CancelledError

    async def pause(self, seconds: float) -> None:
        self.step()
        self.now += seconds
        if self.now > self.until:
            raise End

    async def publish(self, messages: Sequence[Message]) -> None:
        self.step()
        [message] = messages
        if self.kafka_is_away:
            raise KafkaUnavailable("away")
        self.sent.append((orjson.loads(message.value)["number"], self.now))

    async def problem(self) -> str | None:
        return None

    async def ask(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        self.step()
        self.asked.append(self.now)
        if self.clickhouse_is_away:
            self.now += 5
            raise unavailable("away")
        stored = [number for number, at in self.sent if at + self.delay <= self.now]
        return [[max(stored, default=0)]]

    def more(self, scrape: Scrape, outcome: str) -> float:
        return scrape.value(HEARTBEATS, outcome=outcome) - self.before.value(
            HEARTBEATS, outcome=outcome
        )

    def freshness(self, scrape: Scrape) -> float:
        return scrape.value(FRESHNESS, "_sum") - self.before.value(FRESHNESS, "_sum")


async def test_each_is_found_as_soon_as_it_is_there() -> None:
    world = World(delay=0.35, until=45)
    await world.run()
    scrape = shown_here("api")
    # The first after a second, then every ten.
    assert [at - 100 for _, at in world.sent] == pytest.approx([1, 11, 21, 31, 41])
    assert [number for number, _ in world.sent] == [1, 2, 3, 4, 5]
    assert world.more(scrape, "stored") == 5
    assert world.freshness(scrape) == pytest.approx(5 * 0.4)
    # Looked for until it is there, and no more.
    assert len(world.asked) == 5 * 4
    assert scrape.value(HEARTBEAT_AGE) == pytest.approx(world.now - world.sent[-1][1])


async def test_while_clickhouse_is_away_one_question_at_a_time_is_asked() -> None:
    world = World(until=200)
    world.clickhouse_is_away = True
    await world.run()
    scrape = shown_here("api")
    assert len(world.sent) == pytest.approx(20, abs=3)
    # Five seconds each; and with the pauses between no more than this.
    assert len(world.asked) <= 200 / 5
    assert world.more(scrape, "stored") == 0
    assert scrape.value(HEARTBEAT_AGE) > 199


async def test_what_was_stored_late_counts_with_all_its_time() -> None:
    world = World(delay=33, until=60)
    await world.run()
    scrape = shown_here("api")
    found = world.more(scrape, "stored")
    assert found == 3
    assert 3 * 33 <= world.freshness(scrape) <= 3 * (33 + LONGEST_PAUSE)
    assert scrape.value(HEARTBEAT_AGE) > 33


async def test_what_kafka_did_not_confirm_is_not_waited_for() -> None:
    world = World(until=45)
    world.kafka_is_away = True
    await world.run()
    scrape = shown_here("api")
    assert world.more(scrape, "unconfirmed") == 5
    assert world.more(scrape, "stored") == 0
    assert world.asked == []
    assert scrape.value(HEARTBEAT_AGE) > 44


async def test_what_is_not_there_after_an_hour_is_lost() -> None:
    world = World(delay=10 * LOST_SECONDS, until=LOST_SECONDS + 10 * EVERY)
    await world.run()
    scrape = shown_here("api")
    assert world.more(scrape, "lost") == pytest.approx(10, abs=1)
    assert len(world.sent) < MOST_AWAITED


@pytest.mark.parametrize("step", range(25))
async def test_it_ends_at_once_wherever_it_is_cancelled(step: int) -> None:
    world = World(delay=0.35)
    world.cancelled_at = step
    with pytest.raises(asyncio.CancelledError):
        await world.heartbeats().run()
