"""Publishes to Kafka: gathers what arrives together, resolves when Kafka has it."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from time import monotonic
from typing import Final, Literal, NamedTuple, Protocol, Self

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from schemas.metrics.edge import (
    PUBLISH_DURATION,
    PUBLISH_FAILURES,
    UNCONFIRMED,
    UNCONFIRMED_LIMIT,
)
from schemas.metrics.instruments import at_scrape, counter, histogram
from schemas.partitioning import partition_for, partitions_for
from schemas.server_problems import kafka_away
from schemas.servers import KafkaSettings
from schemas.topics import EVENT_TOPICS, TOPICS
from schemas.trace_context import TRACE_HEADERS
from schemas.tracing import carried, current, span

log = structlog.get_logger()

MAX_BATCH_BYTES = 262_144
RECONNECT_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
CONNECT_SECONDS = 10.0
STOP_SECONDS = 1.0
GIVE_UP_SECONDS = 10.0
"""A batch that takes longer is failed, and its producer replaced: nobody waits for it any more."""

Reason = Literal["not_confirmed", "refused", "away", "full"]

# uvloop raises a RuntimeError, not an OSError, for a write to a connection that the peer reset
# a moment ago; aiokafka lets it through, and the task that it ends takes its producer with it.
PRODUCER_ERRORS = (KafkaError, OSError, RuntimeError)


class KafkaUnavailable(Exception):
    """Kafka did not confirm in time, or cannot be asked; what was sent may still arrive."""

    def __init__(self, why: str, reason: Reason = "away") -> None:
        super().__init__(why)
        self.reason: Reason = reason


# aiokafka's C code takes a list and no other sequence, and changes none.
_NO_HEADERS: Final[list[tuple[str, bytes]]] = []


_EVENTS: Final = frozenset(topic.name for topic in EVENT_TOPICS)


class Message(NamedTuple):
    """One message: the topic's name in the registry, key and value as bytes, its headers."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]] = _NO_HEADERS


class Publisher(Protocol):
    """What the routes need of Kafka."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Returns when Kafka has all of them. Raises KafkaUnavailable otherwise."""

    async def problem(self) -> str | None:
        """Why nothing can be published now, or None."""


@dataclass(slots=True, eq=False)
class _Gathering:
    """A batch that is being filled, and the future of its acknowledgement."""

    builder: BatchBuilder
    confirmed: asyncio.Future[None]
    size: int = 0


@dataclass(slots=True)
class _Lane:
    """One partition: at most one batch under way, what arrives meanwhile gathers behind it."""

    topic: str
    partition: int
    waiting: deque[_Gathering] = field(default_factory=deque)
    sender: asyncio.Task[None] | None = None


class KafkaPublisher:
    """An idempotent producer with its own gathering of events, one batch a partition under way.

    aiokafka's `send` makes a future for each message (108,000/s measured); filling batches and
    sharing one future a batch reaches several times that, and a lone event never waits for a
    linger. With idempotence aiokafka never gives up on a batch, so what is unconfirmed is
    bounded here by bytes and in time, and a request stops waiting after `publish_timeout`.
    """

    def __init__(self, settings: KafkaSettings, *, timeout: float, max_bytes: int) -> None:
        self._settings = settings
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._unconfirmed = 0
        self._producer: AIOKafkaProducer | None = None
        self._lanes: dict[str, tuple[_Lane, ...]] = {}
        self._problem: str | None = "connecting to Kafka"
        self._lost = asyncio.Event()
        self._connector: asyncio.Task[None] | None = None
        at_scrape(UNCONFIRMED, lambda: {(): self._unconfirmed})
        at_scrape(UNCONFIRMED_LIMIT, lambda: {(): self._max_bytes})

    async def __aenter__(self) -> Self:
        self._connector = asyncio.create_task(self._stay_connected())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connector is not None:
            self._connector.cancel()
            await asyncio.gather(self._connector, return_exceptions=True)
        senders = [lane.sender for lanes in self._lanes.values() for lane in lanes if lane.sender]
        if senders:
            await asyncio.wait(senders, timeout=STOP_SECONDS)
        for sender in senders:
            sender.cancel()
        await self._disconnect()

    async def problem(self) -> str | None:
        """Why nothing can be published now, or None; asks the cluster, within the timeout."""
        if self._producer is None or self._problem is not None:
            return self._problem
        try:
            async with asyncio.timeout(self._timeout):
                await self._producer.client.fetch_all_metadata()
        except PRODUCER_ERRORS:
            return f"Kafka at {self._settings.bootstrap_servers} does not answer"
        return None

    async def publish(self, messages: Sequence[Message]) -> None:
        """Returns when Kafka has all of them, in at most the timeout.

        Raises KafkaUnavailable; messages may still arrive then, so send them again with the
        same `event_id`.
        """
        began = monotonic()
        try:
            with span("publish", "producer", {"messaging.system": "kafka"}):
                await self._publish(_carrying(messages))
        except KafkaUnavailable as error:
            counter(PUBLISH_FAILURES, error.reason).inc()
            raise
        histogram(PUBLISH_DURATION).observe(monotonic() - began)

    async def _publish(self, messages: Sequence[Message]) -> None:
        batches = {
            self._gather(message, lane): None
            for message, lane in zip(messages, self._lanes_of(messages), strict=True)
        }
        try:
            async with asyncio.timeout(self._timeout):
                for batch in batches:
                    await asyncio.shield(batch.confirmed)
        except TimeoutError:
            raise KafkaUnavailable("Kafka did not confirm in time", "not_confirmed") from None
        except KafkaError as error:
            raise KafkaUnavailable(f"Kafka refused: {type(error).__name__}", "refused") from None

    def _lanes_of(self, messages: Sequence[Message]) -> list[_Lane]:
        if self._producer is None:
            raise KafkaUnavailable(self._problem or "Kafka is away")
        topics = [self._lanes[message.topic] for message in messages]
        if len({len(lanes) for lanes in topics}) == 1:
            keys = [message.key for message in messages]
            numbers = partitions_for(keys, len(topics[0]))
            return [lanes[number] for lanes, number in zip(topics, numbers, strict=True)]
        return [
            lanes[partition_for(message.key, len(lanes))]
            for message, lanes in zip(messages, topics, strict=True)
        ]

    def _gather(self, message: Message, lane: _Lane) -> _Gathering:
        size = len(message.key) + len(message.value)
        if self._unconfirmed + size > self._max_bytes:
            raise KafkaUnavailable("too much is waiting for Kafka's confirmation", "full")
        batch = lane.waiting[-1] if lane.waiting else self._open(lane)
        _, key, value, headers = message
        appended = batch.builder.append(timestamp=None, key=key, value=value, headers=headers)
        if appended is None:
            batch = self._open(lane)
            batch.builder.append(timestamp=None, key=key, value=value, headers=headers)
        batch.size += size
        self._unconfirmed += size
        if lane.sender is None:
            lane.sender = asyncio.create_task(self._send(lane))
        return batch

    def _open(self, lane: _Lane) -> _Gathering:
        batch = _Gathering(
            self._connected().create_batch(), asyncio.get_running_loop().create_future()
        )
        batch.confirmed.add_done_callback(_retrieved)
        lane.waiting.append(batch)
        return batch

    def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise KafkaUnavailable(self._problem or "Kafka is away")
        return self._producer

    async def _send(self, lane: _Lane) -> None:
        try:
            while lane.waiting:
                batch = lane.waiting.popleft()
                batch.builder.close()
                await self._deliver(lane, batch)
        finally:
            lane.sender = None

    async def _deliver(self, lane: _Lane, batch: _Gathering) -> None:
        producer = self._producer
        try:
            delivery = await self._connected().send_batch(
                batch.builder, self._settings.topic(lane.topic), partition=lane.partition
            )
            delivery.add_done_callback(_retrieved)
            # Not cancelled when it takes too long: its failure must find someone.
            if not (await asyncio.wait({delivery}, timeout=GIVE_UP_SECONDS))[0]:
                raise TimeoutError
            delivery.result()
        except asyncio.CancelledError:
            batch.confirmed.set_exception(KafkaUnavailable("the edge is stopping"))
            raise
        except KafkaUnavailable as error:
            batch.confirmed.set_exception(error)
        except PRODUCER_ERRORS as error:
            batch.confirmed.set_exception(
                KafkaUnavailable(f"Kafka did not take it: {type(error).__name__}", "refused")
            )
            # aiokafka's producer is of no use after an error that its own retries did not
            # outlast (aio-libs/aiokafka#759): a new one is made.
            if producer is self._producer:
                self._lost.set()
        else:
            batch.confirmed.set_result(None)
        finally:
            self._unconfirmed -= batch.size

    async def _stay_connected(self) -> None:
        attempt = 0
        while True:
            try:
                await self._connect()
            except PRODUCER_ERRORS as error:
                self._problem = await kafka_away(error, self._settings)
                await asyncio.sleep(RECONNECT_SECONDS[min(attempt, len(RECONNECT_SECONDS) - 1)])
                attempt += 1
                continue
            except MissingTopics as error:
                self._problem = str(error)
                await self._disconnect()
                await asyncio.sleep(RECONNECT_SECONDS[-1])
                continue
            attempt = 0
            await self._lost.wait()
            log.warning("producer lost, connecting again")
            self._problem = "connecting to Kafka again"
            await self._disconnect()

    async def _connect(self) -> None:
        self._lost.clear()
        producer = AIOKafkaProducer(
            **self._settings.client_arguments(),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=MAX_BATCH_BYTES,
            max_request_size=4 * MAX_BATCH_BYTES,
            request_timeout_ms=10_000,
            metadata_max_age_ms=60_000,
            compression_type=None
            if self._settings.compression == "none"
            else self._settings.compression,
        )
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await producer.start()
                lanes = {}
                for topic in (each for each in TOPICS if "api" in each.written_by):
                    partitions = await _partitions(producer, self._settings.topic(topic.name))
                    lanes[topic.name] = tuple(
                        _Lane(topic.name, number) for number in range(partitions)
                    )
        except BaseException:
            await self._discard(producer)
            raise
        self._lanes = lanes
        self._producer = producer
        self._problem = None

    async def _disconnect(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await self._discard(producer)

    async def _discard(self, producer: AIOKafkaProducer) -> None:
        # stop() waits until all is delivered, which may be never: the sender is ended first, and
        # what it leaves is failed. aiokafka has no public way to do either.
        sender = producer._sender.sender_task if producer._sender else None  # noqa: SLF001
        if sender is not None:
            sender.cancel()
        for end in (producer.stop, producer.client.close):
            with contextlib.suppress(*PRODUCER_ERRORS):
                async with asyncio.timeout(STOP_SECONDS):
                    await end()
        if sender is not None:
            await asyncio.wait({sender}, timeout=STOP_SECONDS)
        held = producer._message_accumulator  # noqa: SLF001
        for batch in (*held._pending_batches, *chain.from_iterable(held._batches.values())):  # noqa: SLF001
            if not batch.future.done():
                batch.future.set_exception(KafkaError("the producer is given up"))


def _carrying(messages: Sequence[Message]) -> Sequence[Message]:
    """The messages with the trace that they come of: events only where it is recorded."""
    parent = current()
    if parent is None:
        return messages
    if not parent.recorded and all(each.topic in _EVENTS for each in messages):
        return messages
    headers = carried()
    return [
        each
        if each.topic in _EVENTS and not parent.recorded
        else each._replace(
            headers=[*(it for it in each.headers if it[0] not in TRACE_HEADERS), *headers]
        )
        for each in messages
    ]


def _retrieved(future: asyncio.Future[None]) -> None:
    """Whoever waits sees a future's failure; nobody may be waiting any more."""
    if not future.cancelled():
        future.exception()


class MissingTopics(Exception):
    """A topic of the registry is not on the cluster."""


async def _partitions(producer: AIOKafkaProducer, topic: str) -> int:
    metadata = await producer.client.fetch_all_metadata()
    partitions = metadata.partitions_for_topic(topic)
    if not partitions:
        raise MissingTopics(f"topic {topic} does not exist; run `weir topics`")
    return len(partitions)
