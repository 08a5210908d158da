"""Kafka is read to its end, and not for ever."""

import asyncio
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import ConsumerRecord, TopicPartition

from deploy.forgetting import broker
from deploy.forgetting.broker import Broker
from schemas.servers import KafkaSettings
from schemas.topics import USAGE_LEDGER


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
    monkeypatch.setattr(broker, "SILENCE", 0.5)
    nobody = cast("Any", None)
    consumer = FallingSilent()
    asked = Broker(KafkaSettings(), nobody, cast("Any", consumer), nobody, {USAGE_LEDGER.name: 1})
    with pytest.raises(KafkaTimeoutError, match="sent nothing"):
        await asked.living(USAGE_LEDGER, lambda *_: True)
    assert consumer.at == 1
