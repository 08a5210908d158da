"""Kafka is read to its end, and not for ever."""

import asyncio
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import ConsumerRecord, TopicPartition

from deploy import kafka_silence
from deploy.forgetting.broker import Broker, opened_broker
from schemas.servers import KafkaSettings
from schemas.topics import STRIPE_EVENTS, USAGE_LEDGER
from tests.unreadable_names import UNREADABLE, send_together
from tests.weir import Weir


class FallingSilent:
    """A consumer whose Kafka has three records, and goes away after the first."""

    def __init__(self) -> None:
        self.at = 0

    def assign(self, places: list[TopicPartition]) -> None:
        pass

    async def seek_to_beginning(self, place: TopicPartition) -> None:
        pass

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 3)

    async def position(self, place: TopicPartition) -> int:
        return self.at

    async def getmany(
        self, place: TopicPartition, *, timeout_ms: int
    ) -> dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]]:
        await asyncio.sleep(timeout_ms / 1000)
        if self.at:
            return {}
        self.at = 1
        record = ConsumerRecord(*place, 0, 0, 0, b"key", b"value", None, 3, 5, ())
        return {place: [record]}


async def test_a_kafka_that_falls_silent_is_not_read_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kafka_silence, "SILENCE", 0.5)
    nobody = cast("Any", None)
    consumer = FallingSilent()
    asked = Broker(
        KafkaSettings(), nobody, cast("Any", consumer), nobody, nobody, {USAGE_LEDGER.name: 1}
    )
    with pytest.raises(KafkaTimeoutError, match="sent nothing"):
        await asked.living(USAGE_LEDGER, lambda *_: True)
    assert consumer.at == 1


@pytest.mark.services
async def test_marks_of_transactions_need_not_be_read(weir: Weir) -> None:
    topic, group = weir.topic(STRIPE_EVENTS.name), f"{weir.topic('readers')}"
    place = TopicPartition(topic, 0)
    arguments = weir.kafka.client_arguments()
    producer = AIOKafkaProducer(**arguments, transactional_id=group)
    reader = AIOKafkaConsumer(**arguments, group_id=group, enable_auto_commit=False)
    await producer.start()
    await reader.start()
    try:
        async with producer.transaction():
            await producer.send_and_wait(topic, b"event", partition=0)
        reader.assign([place])

        async def marked() -> bool:
            return dict(await reader.end_offsets([place])) == {place: 2}

        # A transaction is committed before its mark stands in every partition.
        await weir.eventually(marked)
        async with opened_broker(weir.kafka) as opened:
            assert not await opened.has_read(group, [STRIPE_EVENTS], 0.3)
            await reader.commit({place: 1})
            assert await opened.has_read(group, [STRIPE_EVENTS], 0.3)
    finally:
        await producer.stop()
        await reader.stop()


@pytest.mark.services
async def test_a_header_name_that_is_not_utf8_hides_nothing(weir: Weir) -> None:
    messages = [(b"one", b"1", []), (b"two", b"2", [UNREADABLE]), (b"three", b"3", [])]
    await send_together(weir.kafka, weir.topic(USAGE_LEDGER.name), 0, messages)
    async with opened_broker(weir.kafka) as opened:
        assert await opened.living(USAGE_LEDGER, lambda *_: True) == 3
