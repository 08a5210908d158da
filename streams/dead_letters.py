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

from schemas.dead_letters import MAX_PAYLOAD, DeadLetter, dead_letter_id
from schemas.metrics.consumers import DEAD_LETTERS as DEAD_LETTERS_COUNTED
from schemas.metrics.instruments import counter
from schemas.servers import KafkaSettings
from schemas.topics import DEAD_LETTERS, registered_name
from streams.failures import Invalid, Retryable
from streams.messages import Message
from streams.records import Headers, Record

log = structlog.get_logger()

MAX_DETAIL: Final = 500
MAX_KEY: Final = 65_536
MAX_HEADERS: Final = 65_536
"""Bytes of all names and values: a compressed message may have a key or headers of megabytes."""

_HEADER_BRACKETS: Final = len('["",null],')

_Texts = tuple[str | None, str | None, list[tuple[str, str | None]]]


def letter_message(topic: str, letter: DeadLetter) -> Message:
    """A dead letter as a worker writes it; `topic`: that of dead letters, on the cluster."""
    key = str(letter.dead_letter_id).encode()
    return Message(topic, None, key, letter.model_dump_json().encode())


def refused(place: TopicPartition, record: Record, failure: Invalid) -> DeadLetter:
    """The dead letter of a record that cannot be used, which the log and a counter tell of."""
    counter(DEAD_LETTERS_COUNTED, registered_name(place.topic), failure.reason).inc()
    log.warning(
        "dead letter",
        topic=place.topic,
        partition=place.partition,
        offset=record.offset,
        reason=failure.reason,
        detail=failure.detail,
    )
    return dead_letter(place, record, failure)


def dead_letter(partition: TopicPartition, record: Record, failure: Invalid) -> DeadLetter:
    """The dead letter of a partition's record: as text where all of it is text, else base64."""
    cuts: list[str] = []
    key = _cut(record.key, MAX_KEY, "key", cuts)
    value = _cut(record.value, MAX_PAYLOAD, "value", cuts)
    kept = _within(record.headers, MAX_HEADERS)
    if len(kept) < len(record.headers):
        cuts.append(f"the first {len(kept)} of {len(record.headers)} headers")
    detail = failure.detail[:MAX_DETAIL]
    if cuts:
        detail = f"{detail} (kept are {', '.join(cuts)})"
    texts = _as_text(key, value, kept)
    encoded = texts is None
    key_text, payload, headers = texts or (
        _base64(key),
        _base64(value),
        [(name, _base64(content)) for name, content in kept],
    )
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
        key=key_text,
        payload=payload,
        headers=headers or None,
        encoding="base64" if encoded else "utf-8",
        truncated=bool(cuts),
    )


def _cut(data: bytes | None, most: int, name: str, cuts: list[str]) -> bytes | None:
    if data is None or len(data) <= most:
        return data
    cuts.append(f"the first {most} of {len(data)} bytes of the {name}")
    return data[:most]


def _within(headers: Headers, most: int) -> Headers:
    size = 0
    for number, (name, value) in enumerate(headers):
        # Names go as text, in which a control character takes six bytes.
        size += 6 * len(name.encode()) + len(value or b"") + _HEADER_BRACKETS
        if size > most:
            return headers[:number]
    return headers


def _as_text(key: bytes | None, value: bytes | None, headers: Headers) -> _Texts | None:
    try:
        texts = (
            _text(key),
            _text(value),
            [(name, _text(content)) for name, content in headers],
        )
    except UnicodeDecodeError:
        return None
    size = sum(
        len(data or b"") for data in (key, value, *(content for _, content in headers))
    ) + sum(len(name.encode()) + _HEADER_BRACKETS for name, _ in headers)
    # Control characters grow sixfold as JSON; base64 grows by a third.
    return texts if len(orjson.dumps(texts)) <= size * 4 // 3 + 64 else None


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode()


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
