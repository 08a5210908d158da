"""Waits for replies of workers: one partition of `replies`, read from before a request is sent."""

import asyncio
import contextlib
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final, Self
from uuid import UUID, uuid4

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition
from pydantic import ValidationError

from schemas.quotas import QuotaDecision
from schemas.replies import REPLY_PARTITION_HEADER, REQUEST_ID_HEADER, Reply
from schemas.servers import KafkaSettings
from schemas.topics import REPLIES

log = structlog.get_logger()

MAX_WAITING: Final = 10_000
"""So many requests of one process wait at once; each is some 2 KiB."""
RECONNECT_SECONDS: Final = (0.1, 0.2, 0.5, 1.0)
CONNECT_SECONDS: Final = 10.0
STOP_SECONDS: Final = 1.0
REQUEST_SECONDS: Final = 5.0
"""An answer of Kafka's that takes longer is not waited for: its connection hangs."""
LOOK_SECONDS: Final = 1.0
"""After so long without a reply Kafka is asked whether it has one that did not come."""

# uvloop raises a RuntimeError for a write to a connection that the peer reset a moment ago.
_CONSUMER_ERRORS: Final = (KafkaError, OSError, RuntimeError)


class RepliesUnavailable(Exception):
    """No reply can be waited for now, so nothing was sent."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A reply that is waited for: what names it on the command, and where it will stand."""

    headers: list[tuple[str, bytes]]
    decision: asyncio.Future[QuotaDecision]


class _Behind(Exception):
    """Kafka has replies that do not come."""


class _TopicMissing(Exception):
    """The topic is not on the cluster, or lacks the partition."""


class Replies:
    """Reads one partition of `replies` for ever, and hands each reply to who waits for it.

    The partition is chosen by chance and may be shared: request ids are unique. It is read from
    its end as it was before the first request, and after a break from where reading ended: what
    was written meanwhile is not missed. What nobody waits for (any more) is passed over.
    """

    def __init__(self, settings: KafkaSettings, *, max_waiting: int = MAX_WAITING) -> None:
        self._servers = settings.bootstrap_servers
        self._topic = settings.topic(REPLIES.name)
        self._max_waiting = max_waiting
        self._waiting: dict[bytes, asyncio.Future[QuotaDecision]] = {}
        self._partition: TopicPartition | None = None
        self._position: int | None = None
        self._problem: str | None = "connecting to Kafka"
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._reader = asyncio.create_task(self._read_for_ever())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    def problem(self) -> str | None:
        """Why no replies come now, or None."""
        return self._problem

    @contextmanager
    def expected(self) -> Iterator[Expected]:
        """A reply that will be there within the block; send the command within it.

        Raises RepliesUnavailable before the first connection, and when too many wait.
        """
        if self._partition is None or self._position is None:
            raise RepliesUnavailable(self._problem or "connecting to Kafka")
        if len(self._waiting) >= self._max_waiting:
            raise RepliesUnavailable("too many requests wait for a reply")
        request_id = uuid4().bytes
        decision: asyncio.Future[QuotaDecision] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = decision
        try:
            yield Expected(
                [
                    (REQUEST_ID_HEADER, request_id),
                    (REPLY_PARTITION_HEADER, str(self._partition.partition).encode()),
                ],
                decision,
            )
        finally:
            del self._waiting[request_id]

    def _hand_out(self, records: Sequence[ConsumerRecord[bytes | None, bytes | None]]) -> None:
        for record in records:
            request_id = _request_id(record.key)
            if request_id not in self._waiting:
                continue
            decision = _decision(record.value)
            if decision is None:
                log.error("a reply cannot be read and is passed over", offset=record.offset)
                continue
            waiting = self._waiting[request_id]
            # A worker that died after it replied replies again: the same.
            if not waiting.done():
                waiting.set_result(decision)

    async def _read_for_ever(self) -> None:
        attempt = 0
        while True:
            started = monotonic()
            try:
                await self._read()
            except _CONSUMER_ERRORS as error:
                reason = f"Kafka at {self._servers} cannot be reached: {type(error).__name__}"
            except (_Behind, _TopicMissing) as error:
                reason = str(error)
            except asyncio.CancelledError:
                # aiokafka lets cancellations of its own tasks through, as if they were ours.
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                reason = f"Kafka at {self._servers} cannot be reached"
            if self._problem is None:
                log.warning("connecting again for replies", reason=reason)
            self._problem = reason
            if monotonic() - started > CONNECT_SECONDS:
                attempt = 0
            await asyncio.sleep(RECONNECT_SECONDS[min(attempt, len(RECONNECT_SECONDS) - 1)])
            attempt += 1

    async def _read(self) -> None:
        """Reads from where reading ended; returns never. Raises what ends it."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._servers,
            group_id=None,
            enable_auto_commit=False,
            # Where it stood is gone: the topic was made anew, or Kafka was away for longer than it
            # keeps replies. What there is, is newer.
            auto_offset_reset="earliest",
            request_timeout_ms=int(1000 * REQUEST_SECONDS),
            retry_backoff_ms=100,
            # A fetch is answered as soon as there is anything: this is how long it waits for that,
            # and what asks for the end waits behind it on the same connection.
            fetch_min_bytes=1,
            fetch_max_wait_ms=500,
        )
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await consumer.start()
                partition = await self._chosen(consumer)
                consumer.assign([partition])
                if self._position is None:
                    self._position = await _end(consumer, partition)
                consumer.seek(partition, self._position)
            self._problem = None
            await self._follow(consumer, partition)
        finally:
            await _stop(consumer)

    async def _chosen(self, consumer: AIOKafkaConsumer) -> TopicPartition:
        # partitions_for_topic() knows only topics that are read already.
        metadata = await consumer._client.fetch_all_metadata()  # noqa: SLF001
        numbers = metadata.partitions_for_topic(self._topic)
        if not numbers:
            raise _TopicMissing(f"topic {self._topic} does not exist; run `weir topics`")
        if self._partition is None:
            self._partition = TopicPartition(self._topic, random.choice(sorted(numbers)))  # noqa: S311
        elif self._partition.partition not in numbers:
            raise _TopicMissing(
                f"topic {self._topic} has no partition {self._partition.partition} any more; "
                "restart this process"
            )
        return self._partition

    async def _follow(self, consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        due = 0
        while True:
            fetched = await consumer.getmany(partition, timeout_ms=int(1000 * LOOK_SECONDS))
            if records := fetched.get(partition):
                self._hand_out(records)
                self._position = records[-1].offset + 1
                continue
            position = await consumer.position(partition)
            if position < due:
                raise _Behind("Kafka does not send the replies that it has")
            due = await _end(consumer, partition)
            if position > due:
                self._position = 0
                raise _Behind(f"topic {self._topic} was made anew")


async def _stop(consumer: AIOKafkaConsumer) -> None:
    # Its client too: a fetch that stop() cancels while it waits to try again ends stop() early.
    for end in (consumer.stop, consumer._client.close):  # noqa: SLF001
        await asyncio.gather(asyncio.wait_for(end(), STOP_SECONDS), return_exceptions=True)


async def _end(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int:
    async with asyncio.timeout(REQUEST_SECONDS):
        end: int = (await consumer.end_offsets([partition]))[partition]
        return end


def _decision(value: bytes | None) -> QuotaDecision | None:
    with contextlib.suppress(ValidationError):
        return Reply.model_validate_json(value or b"").decision
    return None


def _request_id(key: bytes | None) -> bytes:
    """The request id that a message key says: as 16 bytes or as text."""
    if key is None or len(key) == 16:
        return key or b""
    with contextlib.suppress(ValueError):
        return UUID(key.decode("ascii", "replace")).bytes
    return b""
