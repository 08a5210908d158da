"""Calls the quotas worker over Kafka alone, as an edge process does, and reads what it wrote."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import ConsumerRecord, TopicPartition

from schemas.partitioning import partition_for
from schemas.quotas import Forget, QuotaCommand, QuotaDecision, Show, Spend
from schemas.replies import REPLY_PARTITION_HEADER, REQUEST_ID_HEADER, Reply
from schemas.topics import QUOTA_COMMANDS, USER_PARTITIONS
from tests.weir import Weir

REPLY_PARTITION = 5


def spend(user: str, count: int = 1, **fields: object) -> Spend:
    return Spend.model_validate(
        {
            "command_id": uuid4(),
            "user_id": user,
            "issued_at": datetime.now(UTC),
            "reason": "a test",
            "count": count,
            **fields,
        }
    )


def show(user: str) -> Show:
    return Show(command_id=uuid4(), user_id=user, issued_at=datetime.now(UTC), reason="a test")


def users_of(partition: int, count: int) -> list[str]:
    """New users whose messages lie on this partition."""
    found: list[str] = []
    while len(found) < count:
        user = f"user-{uuid4()}"
        if partition_for(user.encode(), USER_PARTITIONS) == partition:
            found.append(user)
    return found


class Caller:
    """Sends commands, and keeps the replies by their request."""

    def __init__(self, weir: Weir, producer: AIOKafkaProducer) -> None:
        self._weir = weir
        self._producer = producer
        self.replies: dict[UUID, QuotaDecision] = {}
        self._came = asyncio.Condition()

    async def send(
        self,
        command: QuotaCommand | Forget,
        message: Mapping[str, object] | None = None,
        *,
        waits: bool = True,
    ) -> tuple[UUID, TopicPartition, int]:
        """Writes a command; returns the request's id, and where the command lies.

        `message` replaces parts of what is written.
        """
        request_id = uuid4()
        headers = [
            (REQUEST_ID_HEADER, request_id.bytes),
            (REPLY_PARTITION_HEADER, str(REPLY_PARTITION).encode()),
        ]
        key = command.user_id.encode()
        written = await self._producer.send_and_wait(
            **{
                "topic": self._weir.topic(QUOTA_COMMANDS.name),
                "key": key,
                "value": command.model_dump_json().encode(),
                "partition": partition_for(key, USER_PARTITIONS),
                "headers": headers if waits else [],
                **(message or {}),
            }
        )
        return request_id, written.topic_partition, written.offset

    async def reply(self, request_id: UUID, within: float = 60) -> QuotaDecision:
        async with asyncio.timeout(within), self._came:
            await self._came.wait_for(lambda: request_id in self.replies)
        return self.replies[request_id]

    async def ask(self, command: QuotaCommand, within: float = 60) -> QuotaDecision:
        """The worker's answer."""
        request_id, *_ = await self.send(command)
        return await self.reply(request_id, within)

    async def used(self, user: str) -> int:
        return (await self.ask(show(user))).quota_used

    async def messages(self, topic: str) -> list[ConsumerRecord]:
        """All that lies on a topic now."""
        consumer = AIOKafkaConsumer(**self._weir.kafka.client_arguments())
        await consumer.start()
        try:
            name = self._weir.topic(topic)
            partitions = [
                TopicPartition(name, each) for each in consumer.partitions_for_topic(name) or ()
            ] or await self._partitions(consumer, name)
            consumer.assign(partitions)
            await consumer.seek_to_beginning()
            ends = await consumer.end_offsets(partitions)
            found: list[ConsumerRecord] = []
            for each in partitions:
                while await consumer.position(each) < ends[each]:
                    for records in (await consumer.getmany(each, timeout_ms=200)).values():
                        found += records
            return found
        finally:
            await consumer.stop()

    async def decisions(self, user: str) -> list[QuotaDecision]:
        """The ledger's lines of a user, a repeated one as often as it was written."""
        return [
            QuotaDecision.model_validate_json(each.value)
            for each in await self.messages("quota-decisions")
            if each.key == user.encode()
        ]

    async def committed(self) -> Mapping[int, int]:
        """How far the worker's group has committed the commands, by partition."""
        admin = AIOKafkaAdminClient(**self._weir.kafka.client_arguments())
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(
                self._weir.environment["WEIR_QUOTAS_GROUP"]
            )
        finally:
            await admin.close()
        name = self._weir.topic(QUOTA_COMMANDS.name)
        return {
            each.partition: found.offset for each, found in offsets.items() if each.topic == name
        }

    async def members(self) -> int:
        """How many workers the group has, once it is settled; else 0."""
        admin = AIOKafkaAdminClient(**self._weir.kafka.client_arguments())
        await admin.start()
        try:
            group = self._weir.environment["WEIR_QUOTAS_GROUP"]
            [response] = await admin.describe_consumer_groups([group])
        finally:
            await admin.close()
        [(_, _, state, _, _, members, *_)] = response.groups
        return len(members) if state == "Stable" else 0

    async def until(self, holds: Callable[[], Any]) -> None:
        """Waits for a condition that is asked of Kafka."""
        await self._weir.eventually(holds)

    async def _partitions(self, consumer: AIOKafkaConsumer, name: str) -> list[TopicPartition]:
        await consumer._client.add_topic(name)
        await consumer._client.force_metadata_update()
        return [TopicPartition(name, each) for each in consumer.partitions_for_topic(name)]

    async def _listen(self, consumer: AIOKafkaConsumer) -> None:
        async for record in consumer:
            reply = Reply.model_validate_json(record.value)
            assert record.key == reply.request_id.bytes
            async with self._came:
                assert reply.decision is not None
                self.replies[reply.request_id] = reply.decision
                self._came.notify_all()


@asynccontextmanager
async def calling(weir: Weir) -> AsyncIterator[Caller]:
    """A caller that listens as long as the block runs."""
    producer = AIOKafkaProducer(
        **weir.kafka.client_arguments(), enable_idempotence=True, linger_ms=0
    )
    consumer = AIOKafkaConsumer(**weir.kafka.client_arguments(), fetch_max_wait_ms=100)
    await producer.start()
    await consumer.start()
    partition = TopicPartition(weir.topic("replies"), REPLY_PARTITION)
    consumer.assign([partition])
    await consumer.seek_to_end(partition)
    await consumer.position(partition)
    caller = Caller(weir, producer)
    listening = asyncio.create_task(caller._listen(consumer))
    try:
        yield caller
    finally:
        listening.cancel()
        await consumer.stop()
        await producer.stop()
