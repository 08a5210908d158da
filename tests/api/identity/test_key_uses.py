"""The last use of keys: published now and then, whatever Kafka does meanwhile."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest

from api.identity.key_uses import KeyUses
from api.publishing import KafkaPublisher, KafkaUnavailable, Message
from deploy.api_keys import read_keys
from schemas.api_keys import ApiKeyUse
from tests.weir import Weir

START = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


class Recorder:
    """A publisher that may be away, or hang."""

    def __init__(self) -> None:
        self.uses: list[ApiKeyUse] = []
        self.calls = 0
        self.away = False
        self.hangs = False

    async def publish(self, messages: Sequence[Message]) -> None:
        self.calls += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.away:
            raise KafkaUnavailable("away")
        for topic, key, value, _ in messages:
            use = ApiKeyUse.model_validate_json(value)
            assert (topic, key) == ("api-key-uses", use.key_id.encode())
            self.uses.append(use)

    async def problem(self) -> str | None:
        return None


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


async def until(condition: Callable[[], bool]) -> None:
    start = monotonic()
    while not condition():
        assert monotonic() - start < 10
        await asyncio.sleep(0.005)


async def test_the_last_use_of_each_key_is_published_once() -> None:
    kafka, clock = Recorder(), Clock()
    async with KeyUses(kafka, clock, every=0.05) as uses:
        uses.used("key_a")
        uses.used("key_b")
        clock.now += timedelta(seconds=1)
        uses.used("key_a")
        await until(lambda: len(kafka.uses) == 2)
        calls = kafka.calls
    assert {use.key_id: use.last_used_at for use in kafka.uses} == {
        "key_a": START + timedelta(seconds=1),
        "key_b": START,
    }
    # Nothing new, nothing published.
    assert kafka.calls == calls == 1


async def test_what_was_used_last_is_published_at_the_end() -> None:
    kafka = Recorder()
    async with KeyUses(kafka, Clock()) as uses:
        uses.used("key_a")
        assert kafka.uses == []
    assert [use.key_id for use in kafka.uses] == ["key_a"]


async def test_what_kafka_does_not_take_is_published_later_and_not_as_older() -> None:
    kafka, clock = Recorder(), Clock()
    kafka.away = True
    async with KeyUses(kafka, clock, every=0.02) as uses:
        uses.used("key_a")
        uses.used("key_b")
        await until(lambda: kafka.calls >= 2)
        clock.now += timedelta(hours=1)
        uses.used("key_a")
        kafka.away = False
        await until(lambda: len(kafka.uses) == 2)
    assert {use.key_id: use.last_used_at for use in kafka.uses} == {
        "key_a": START + timedelta(hours=1),
        "key_b": START,
    }


async def test_a_kafka_that_hangs_delays_neither_a_request_nor_the_end_for_long() -> None:
    kafka = Recorder()
    kafka.hangs = True
    start = monotonic()
    async with KeyUses(kafka, Clock(), every=0.01) as uses:
        uses.used("key_a")
        await until(lambda: kafka.calls == 1)
        uses.used("key_b")
    assert monotonic() - start < 3
    assert kafka.calls == 2


async def test_so_many_keys_are_remembered_and_no_more() -> None:
    kafka = Recorder()
    async with KeyUses(kafka, Clock(), max_pending=1_500) as uses:
        for number in range(2_000):
            uses.used(f"key_{number}")
    assert len(kafka.uses) == 1_500
    assert kafka.calls == 2


@pytest.mark.services
async def test_on_kafka_they_are_what_the_list_of_keys_shows(weir: Weir) -> None:
    async with KafkaPublisher(weir.kafka, timeout=3.0, max_bytes=1 << 22) as publisher:
        start = monotonic()
        while await publisher.problem() is not None:
            assert monotonic() - start < 10
            await asyncio.sleep(0.01)
        async with KeyUses(publisher, Clock()) as uses:
            uses.used("key_a")
    assert (await read_keys(weir.kafka)).last_used == {"key_a": START}
