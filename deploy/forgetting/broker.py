"""Kafka as `weir forget` needs it: what lies on topics, how far workers have read, commands."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import ConsumerRecord, TopicPartition
from pydantic import BaseModel

from deploy.group_progress import has_committed
from deploy.kafka_silence import patience
from schemas.lenient_records import read_lenient_records
from schemas.partitioning import partition_for
from schemas.servers import KafkaSettings
from schemas.topics import TOPICS, Topic
from streams.group.log_reader import LOOK_MS, LogReader

IsOf = Callable[[bytes, bytes], bool]
"""Whether a record is somebody's, by key and value."""


class TopicsMissing(Exception):
    """Topics of the registry are not on Kafka; the message says what to do."""


class Broker:
    """Every method raises aiokafka's KafkaError."""

    def __init__(
        self,
        settings: KafkaSettings,
        admin: AIOKafkaAdminClient,
        consumer: AIOKafkaConsumer,
        producer: AIOKafkaProducer,
        log: LogReader,
        partitions: dict[str, int],
    ) -> None:
        """`partitions`: how many each topic has, by the registry's name."""
        self._settings = settings
        self._admin = admin
        self._consumer = consumer
        self._producer = producer
        self._log = log
        self._partitions = partitions

    async def is_used(self, group: str) -> bool:
        """Whether the group has ever committed anything."""
        return bool(await self._admin.list_consumer_group_offsets(group))

    async def is_empty(self, topic: Topic) -> bool:
        """Whether nothing lies on it."""
        places = self._places([topic])
        firsts = await self._consumer.beginning_offsets(places)
        return all(end == firsts[at] for at, end in (await self._ends(places)).items())

    async def has_read(self, group: str, topics: Sequence[Topic], seconds: float) -> bool:
        """Whether the group has committed all that lies there now, within so many seconds.

        What was committed of a topic that is empty by now does not matter.
        """
        places = self._places(topics)
        firsts = await self._consumer.beginning_offsets(places)
        lying = {at: range(firsts[at], end) for at, end in (await self._ends(places)).items()}
        return await has_committed(self._admin, self._log, group, lying, seconds)

    async def living(self, topic: Topic, is_of: IsOf) -> int:
        """How many keys of a compacted topic have a newest value that is somebody's.

        Reads the topic to its end as of now.
        """
        living: dict[bytes, bool] = {}
        async for record in self._records(topic):
            key = record.key or b""
            if record.value is not None and is_of(key, record.value):
                living[key] = True
            elif key in living:
                living[key] = False
        return sum(living.values())

    async def send(self, topic: Topic, key: str, command: BaseModel) -> None:
        """Returns when Kafka has the command, on the partition of its key."""
        await self._producer.send_and_wait(
            self._settings.topic(topic.name),
            key=key.encode(),
            value=command.model_dump_json(exclude_none=True).encode(),
            partition=partition_for(key.encode(), self._partitions[topic.name]),
        )

    async def _records(self, topic: Topic) -> AsyncIterator[ConsumerRecord]:
        for place in self._places([topic]):
            self._consumer.assign([place])
            await self._consumer.seek_to_beginning(place)
            end = (await self._ends([place]))[place]
            while records := await self._next(place, end):
                for record in records:
                    yield record

    async def _next(self, place: TopicPartition, end: int) -> list[ConsumerRecord]:
        """No more: all up to this offset is read."""
        async with patience(place):
            while await self._consumer.position(place) < end:
                found = await self._consumer.getmany(place, timeout_ms=LOOK_MS)
                if records := found.get(place):
                    return list(records)
        return []

    def _places(self, topics: Sequence[Topic]) -> list[TopicPartition]:
        return [
            TopicPartition(self._settings.topic(topic.name), number)
            for topic in topics
            for number in range(self._partitions[topic.name])
        ]

    async def _ends(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict(await self._consumer.end_offsets(places))


@asynccontextmanager
async def opened_broker(settings: KafkaSettings) -> AsyncIterator[Broker]:
    """Raises aiokafka's KafkaError, or TopicsMissing."""
    read_lenient_records()
    server = settings.client_arguments()
    admin = AIOKafkaAdminClient(**server)
    # As the workers read, to whom what a transaction has not ended is not there yet.
    consumer = AIOKafkaConsumer(
        **server,
        enable_auto_commit=False,
        isolation_level="read_committed",
        fetch_max_wait_ms=LOOK_MS,
    )
    log = LogReader(settings)
    producer = AIOKafkaProducer(**server, acks="all", enable_idempotence=True)
    try:
        await admin.start()
        await consumer.start()
        await producer.start()
        partitions = await _partitions(admin, settings)
        yield Broker(settings, admin, consumer, producer, log, partitions)
    finally:
        # What one of them holds back must not keep the others.
        await asyncio.gather(
            admin.close(), consumer.stop(), producer.stop(), log.stop(), return_exceptions=True
        )


async def _partitions(admin: AIOKafkaAdminClient, settings: KafkaSettings) -> dict[str, int]:
    existing = set(await admin.list_topics())
    names = {settings.topic(topic.name): topic.name for topic in TOPICS}
    if missing := sorted(names.keys() - existing):
        raise TopicsMissing(f"topics are missing: {', '.join(missing)}; run `weir topics`")
    described = await admin.describe_topics(list(names))
    return {names[each["topic"]]: len(each["partitions"]) for each in described}
