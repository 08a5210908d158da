"""Reads back what lies on the topics of a Weir."""

from collections.abc import Mapping, Sequence
from typing import Self

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.structs import TopicPartition

from schemas.topics import EVENT_TOPICS, Topic
from tests.weir import Weir


class LogOfTopics:
    """Topics of a Weir, those of events unless others are named; all partitions."""

    def __init__(self, weir: Weir, topics: Sequence[Topic] = EVENT_TOPICS) -> None:
        self._weir = weir
        self._partitions = [
            TopicPartition(weir.topic(topic.name), number)
            for topic in topics
            for number in range(topic.partitions)
        ]
        self._consumer = AIOKafkaConsumer(**weir.kafka.client_arguments())

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def ends(self) -> dict[TopicPartition, int]:
        """The offset behind the last message of each partition."""
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(self._partitions)
        return ends

    async def since(
        self, before: Mapping[TopicPartition, int]
    ) -> list[tuple[str, ConsumerRecord[bytes, bytes]]]:
        """All messages behind earlier `ends`, each with its topic's name in the registry."""
        ends = await self.ends()
        missing = sum(ends.values()) - sum(before.values())
        if missing == 0:
            # Its fetches end with an error when they are called off as soon as they begin.
            return []
        self._consumer.assign(self._partitions)
        for partition, offset in before.items():
            self._consumer.seek(partition, offset)
        records: list[ConsumerRecord[bytes, bytes]] = []
        while len(records) < missing:
            for polled in (await self._consumer.getmany(timeout_ms=1_000)).values():
                records.extend(polled)
        # Or its fetches, which wait for messages, would hold up the next question for the ends.
        self._consumer.unsubscribe()
        prefix = self._weir.topic("")
        return [(record.topic.removeprefix(prefix), record) for record in records]
