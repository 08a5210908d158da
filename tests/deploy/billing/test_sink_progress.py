"""Only what the sink can read and has not stored is waited for."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from deploy.billing.sink_progress import has_stored
from schemas.topics import CONVERSIONS
from tests.weir import Weir

pytestmark = pytest.mark.services


class Topic:
    """Partition 0 of `conversions`: a producer of transactions, and a sink's group."""

    def __init__(self, weir: Weir, producer: AIOKafkaProducer, reader: AIOKafkaConsumer) -> None:
        self._weir = weir
        self._group = weir.topic("readers")
        self._place = TopicPartition(weir.topic(CONVERSIONS.name), 0)
        self.producer = producer
        self._reader = reader
        reader.assign([self._place])

    async def send(self) -> None:
        await self.producer.send_and_wait(self._place.topic, b"event", partition=0)

    async def ends_at(self, offset: int) -> None:
        """Returns when it does: a transaction is committed before its mark stands."""

        async def ends() -> bool:
            return dict(await self._reader.end_offsets([self._place])) == {self._place: offset}

        await self._weir.eventually(ends)

    async def commit(self, offset: int) -> None:
        await self._reader.commit({self._place: offset})

    async def is_stored(self, until: datetime) -> bool:
        return await has_stored(self._weir.kafka, self._group, [CONVERSIONS], until, 0.3)


@pytest.fixture
async def topic(weir: Weir) -> AsyncIterator[Topic]:
    arguments, group = weir.kafka.client_arguments(), weir.topic("readers")
    producer = AIOKafkaProducer(**arguments, transactional_id=group)
    reader = AIOKafkaConsumer(**arguments, group_id=group, enable_auto_commit=False)
    await producer.start()
    await reader.start()
    try:
        yield Topic(weir, producer, reader)
    finally:
        await producer.stop()
        await reader.stop()


def now() -> datetime:
    # Kafka's clock is the same, and counts milliseconds.
    return datetime.now(UTC) + timedelta(seconds=1)


async def test_the_mark_of_a_transaction_need_not_be_stored(topic: Topic) -> None:
    async with topic.producer.transaction():
        await topic.send()
    await topic.ends_at(2)
    assert not await topic.is_stored(now())
    await topic.commit(1)
    assert await topic.is_stored(now())


async def test_what_a_transaction_has_not_ended_is_not_there_yet(topic: Topic) -> None:
    async with topic.producer.transaction():
        await topic.send()
        await topic.ends_at(1)
        assert await topic.is_stored(now())
    await topic.ends_at(2)
    assert not await topic.is_stored(now())


async def test_what_arrived_later_need_not_be_stored(topic: Topic) -> None:
    async with topic.producer.transaction():
        await topic.send()
    await topic.ends_at(2)
    assert await topic.is_stored(datetime.now(UTC) - timedelta(hours=1))
