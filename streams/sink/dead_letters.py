"""Writes dead letters: what lay where, why it could not be used, and all of its bytes."""

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from typing import Final

import orjson
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from schemas.dead_letters import DeadLetter, dead_letter_id
from schemas.servers import KafkaSettings
from schemas.topics import DEAD_LETTERS
from streams.failures import Invalid, Retryable
from streams.sink.records import Record

log = structlog.get_logger()

MAX_DETAIL: Final = 500
MAX_PAYLOAD: Final = 1_100_000
"""As base64 within the 2 MiB of `dead-letters`. A compressed message may be larger: it still
lies where the dead letter says, for as long as its topic keeps it."""


def dead_letter(partition: TopicPartition, record: Record, failure: Invalid) -> DeadLetter:
    """The dead letter of a partition's record: as text where it is text, else base64."""
    value, detail = record.value, failure.detail[:MAX_DETAIL]
    if value is not None and len(value) > MAX_PAYLOAD:
        detail = f"{detail} (the first {MAX_PAYLOAD} of {len(value)} bytes are kept)"
        value = value[:MAX_PAYLOAD]
    texts = _as_text(record.key, value)
    encoded = texts is None
    key, payload = texts or (_base64(record.key), _base64(value))
    return DeadLetter(
        dead_letter_id=dead_letter_id(
            partition.topic, partition.partition, record.offset, record.timestamp
        ),
        topic=partition.topic,
        partition=partition.partition,
        offset=record.offset,
        arrived_at=record.timestamp,
        reason=failure.reason,
        detail=detail,
        key=key,
        payload=payload,
        encoding="base64" if encoded else "utf-8",
    )


def _as_text(key: bytes | None, value: bytes | None) -> tuple[str | None, str | None] | None:
    try:
        texts = (
            None if key is None else key.decode(),
            None if value is None else value.decode(),
        )
    except UnicodeDecodeError:
        return None
    # Control characters grow sixfold as JSON; base64 grows by a third.
    size = len(key or b"") + len(value or b"")
    return texts if len(orjson.dumps(texts)) <= size * 4 // 3 + 64 else None


def _base64(data: bytes | None) -> str | None:
    return None if data is None else b64encode(data).decode()


class DeadLetterWriter:
    """Publishes dead letters; a repeated one has the same id and is stored once."""

    def __init__(
        self, producer: AIOKafkaProducer, settings: KafkaSettings, *, timeout: float
    ) -> None:
        self._producer = producer
        self._timeout = timeout
        self._topic = settings.topic(DEAD_LETTERS.name)

    async def write(
        self, partition: TopicPartition, invalid: Sequence[tuple[Record, Invalid]]
    ) -> None:
        """Returns when Kafka has them all.

        Raises Retryable, when some may have arrived, and Kafka's error when it is one for good.
        """
        try:
            async with asyncio.timeout(self._timeout):
                confirmations = [
                    await self._send(dead_letter(partition, record, failure))
                    for record, failure in invalid
                ]
                await asyncio.gather(*confirmations)
        except TimeoutError as error:
            raise Retryable("dead letters: Kafka did not confirm in time") from error
        except KafkaError as error:
            if not error.retriable:
                raise
            raise Retryable(f"dead letters: Kafka refused: {type(error).__name__}") from error
        for record, failure in invalid[:1]:
            log.warning(
                "dead letters written",
                count=len(invalid),
                topic=partition.topic,
                partition=partition.partition,
                first_offset=record.offset,
                first_reason=failure.reason,
            )

    async def _send(self, letter: DeadLetter) -> asyncio.Future[object]:
        confirmation: asyncio.Future[object] = await self._producer.send(
            self._topic,
            key=str(letter.dead_letter_id).encode(),
            value=letter.model_dump_json().encode(),
        )
        return confirmation
