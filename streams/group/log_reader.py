"""Looks at the log beside Faust: where it ends, and whether anything lies in between."""

import asyncio
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from schemas.lenient_records import read_lenient_records
from schemas.servers import KafkaSettings

LOOK_MS: Final = 10
"""For so long Kafka and the client wait for messages that may not come: passing a mark of a
transaction wakes nobody, and one fetch at a time is under way."""


class LogReader:
    """Asks one thing at a time; connects when it is first asked."""

    def __init__(self, settings: KafkaSettings) -> None:
        read_lenient_records()
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._asking = asyncio.Lock()

    async def is_empty(self, topic: str, partition: int, begin: int, end: int) -> bool:
        """Whether no message lies from `begin` up to, not with, `end`: only marks of transactions.

        Raises KafkaError.
        """
        async with self._asking:
            consumer = await self._started()
            place = TopicPartition(topic, partition)
            consumer.assign([place])
            try:
                consumer.seek(place, begin)
                while await consumer.position(place) < end:
                    found = await consumer.getmany(timeout_ms=LOOK_MS, max_records=1)
                    for records in found.values():
                        return bool(records[0].offset >= end)
            finally:
                # It would go on fetching what nobody asks for.
                consumer.pause(place)
        return True

    async def ends(self, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        """The offset that the next message of each partition gets. Raises KafkaError."""
        ends = await self.ends_of([TopicPartition(topic, each) for each in partitions])
        return {place.partition: end for place, end in ends.items()}

    async def ends_of(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """As `ends`, of partitions of any topics. Raises KafkaError."""
        async with self._asking:
            consumer = await self._started()
            found: dict[TopicPartition, int] = await consumer.end_offsets(list(places))
            return found

    async def stop(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                **self._settings.client_arguments(),
                isolation_level="read_committed",
                auto_offset_reset="earliest",
                enable_auto_commit=False,
                fetch_max_wait_ms=LOOK_MS,
            )
            try:
                await consumer.start()
            except BaseException:
                await consumer.stop()
                raise
            self._consumer = consumer
        return self._consumer
