"""The stream of social posts, as tests write to it and read from it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TypeVar
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition
from pydantic import BaseModel

from schemas.generation import GenerationRequest, GenerationResult
from schemas.quotas import QuotaDecision, TopUp
from schemas.topics import TOPICS
from tests.weir import Weir

_Model = TypeVar("_Model", bound=BaseModel)


class Stream:
    """Writes requests to one Weir's topics, and reads what became of them."""

    def __init__(self, weir: Weir) -> None:
        self.weir = weir

    async def send(
        self,
        topic: str,
        messages: Sequence[tuple[bytes | None, bytes]],
        partition: int | None = None,
    ) -> None:
        producer = AIOKafkaProducer(**self.weir.kafka.client_arguments(), enable_idempotence=True)
        await producer.start()
        try:
            await asyncio.gather(
                *[
                    await producer.send(
                        self.weir.topic(topic), key=key, value=value, partition=partition
                    )
                    for key, value in messages
                ]
            )
        finally:
            await producer.stop()

    async def ask(self, *requests: GenerationRequest) -> None:
        await self.send(
            "generation-requests",
            [(each.user_id.encode(), each.model_dump_json().encode()) for each in requests],
        )

    async def top_up(self, user: str, count: int) -> None:
        command = TopUp(
            command_id=uuid4(),
            user_id=user,
            issued_at=datetime.now(UTC),
            reason="test",
            count=count,
        )
        await self.send("quota-commands", [(user.encode(), command.model_dump_json().encode())])

    async def read(self, topic: str, model: type[_Model]) -> list[_Model]:
        """All that lies on a topic now."""
        consumer = AIOKafkaConsumer(
            **self.weir.kafka.client_arguments(), auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            places = self._places(topic)
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            found = []
            for place in places:
                consumer.seek(place, 0)
            while any([await consumer.position(each) < ends[each] for each in places]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += [model.model_validate_json(each.value) for each in records]
            return found
        finally:
            await consumer.stop()

    def _places(self, topic: str) -> list[TopicPartition]:
        [partitions] = [each.partitions for each in TOPICS if each.name == topic]
        return [TopicPartition(self.weir.topic(topic), number) for number in range(partitions)]

    @asynccontextmanager
    async def new(self, topic: str, model: type[_Model]) -> AsyncIterator[AsyncIterator[_Model]]:
        """What comes to a topic from now on, as it comes: read once, so that it costs little."""
        consumer = AIOKafkaConsumer(
            **self.weir.kafka.client_arguments(), auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            places = self._places(topic)
            ends = await consumer.end_offsets(places)
            consumer.assign(places)
            for place in places:
                consumer.seek(place, ends[place])

            async def messages() -> AsyncIterator[_Model]:
                async for record in consumer:
                    yield model.model_validate_json(record.value)

            yield messages()
        finally:
            await consumer.stop()

    async def results(self, *requests: GenerationRequest) -> list[GenerationResult]:
        """Waits until each request has a result; all results of these, copies too."""
        wanted = {each.post_id for each in requests}
        found: list[GenerationResult] = []

        async def all_there() -> bool:
            found[:] = [
                each
                for each in await self.read("generation-results", GenerationResult)
                if each.post_id in wanted
            ]
            return {each.post_id for each in found} == wanted

        await self.weir.eventually(all_there, within=60)
        return found

    async def decisions(self, user: str) -> list[QuotaDecision]:
        found = await self.read("quota-decisions", QuotaDecision)
        return [each for each in found if each.user_id == user]
