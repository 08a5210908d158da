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


def dead_letter(partition: TopicPartition, record: Record, failure: Invalid) -> DeadLetter:
    """The dead letter of a partition's record: as text where it is text, else base64."""
    texts = _as_text(record)
    encoded = texts is None
    key, payload = texts or (_base64(record.key), _base64(record.value))
    return DeadLetter(
        dead_letter_id=dead_letter_id(
            partition.topic, partition.partition, record.offset, record.timestamp
        ),
        topic=partition.topic,
        partition=partition.partition,
        offset=record.offset,
        arrived_at=record.timestamp,
        reason=failure.reason,
        detail=failure.detail[:MAX_DETAIL],
        key=key,
        payload=payload,
        encoding="base64" if encoded else "utf-8",
    )


def _as_text(record: Record) -> tuple[str | None, str | None] | None:
    try:
        texts = (
            None if record.key is None else record.key.decode(),
            None if record.value is None else record.value.decode(),
        )
    except UnicodeDecodeError:
        return None
    # Control characters grow sixfold as JSON; base64 grows by a third.
    size = len(record.key or b"") + len(record.value or b"")
    return texts if len(orjson.dumps(texts)) <= size * 4 // 3 + 64 else None


def _base64(data: bytes | None) -> str | None:
    return None if data is None else b64encode(data).decode()


class DeadLetterWriter:
    """Publishes dead letters; a repeated one has the same id and is stored once."""

    def __init__(self, producer: AIOKafkaProducer, settings: KafkaSettings) -> None:
        self._producer = producer
        self._topic = settings.topic(DEAD_LETTERS.name)

    async def write(
        self, partition: TopicPartition, invalid: Sequence[tuple[Record, Invalid]]
    ) -> None:
        """Returns when Kafka has them all. Raises Retryable; some may have arrived then."""
        confirmations = []
        try:
            for record, failure in invalid:
                letter = dead_letter(partition, record, failure)
                confirmations.append(
                    await self._producer.send(
                        self._topic,
                        key=str(letter.dead_letter_id).encode(),
                        value=letter.model_dump_json().encode(),
                    )
                )
            await asyncio.gather(*confirmations)
        except KafkaError as error:
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
