"""Writes to Kafka with an idempotent producer, many messages at once where their place is known."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata

from schemas.servers import KafkaSettings
from streams.quotas.outputs import Message

REQUEST_BYTES: Final = 4 << 20
BATCH_BYTES: Final = 1 << 19
"""Half of what the topics take in one batch, so that a large message may join a batch."""

Entry = tuple[bytes, bytes | None, list[tuple[str, bytes]]]
"""Key, value and headers."""


@dataclass(frozen=True, slots=True)
class Sent:
    """So many messages, and the future of their confirmation, with the offset of the first."""

    confirmation: asyncio.Future[RecordMetadata]
    count: int = 1


class Writer:
    """One for the process: all partitions' messages share its connections."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=settings.bootstrap_servers,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            compression_type=None if settings.compression == "none" else settings.compression,
            max_request_size=REQUEST_BYTES,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=10_000,
        )

    async def start(self) -> None:
        """Raises aiokafka's KafkaError when Kafka cannot be reached."""
        await self._producer.start()

    async def stop(self) -> None:
        await self._producer.stop()

    async def write(self, messages: Iterable[Message]) -> list[Sent]:
        """Returns when they are on their way."""
        together: dict[tuple[str, int], list[Entry]] = {}
        sent = []
        for topic, partition, key, value, shared in messages:
            if shared or partition is None:
                confirmation = await self._producer.send(topic, value, key, partition)
                sent.append(Sent(confirmation))
            else:
                together.setdefault((topic, partition), []).append((key, value, []))
        for (topic, partition), entries in together.items():
            sent += await self.write_together(topic, partition, entries)
        return sent

    async def write_together(
        self, topic: str, partition: int, entries: Sequence[Entry]
    ) -> list[Sent]:
        """As `write`, in one batch or as few as they fit into."""
        sent = []
        batch = self._producer.create_batch()
        for key, value, headers in entries:
            # The first of a batch is taken at any size.
            while batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
                sent.append(await self._send(batch, topic, partition))
                batch = self._producer.create_batch()
        if batch.record_count():
            sent.append(await self._send(batch, topic, partition))
        return sent

    async def _send(self, batch: BatchBuilder, topic: str, partition: int) -> Sent:
        batch.close()
        confirmation = await self._producer.send_batch(batch, topic, partition=partition)
        return Sent(confirmation, batch.record_count())
