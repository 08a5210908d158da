"""Delivers batches to Weir's Kafka topics; needs `weir-sdk[kafka]`."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from ssl import SSLContext
from typing import Final, Literal

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError
from aiokafka.producer.message_accumulator import BatchBuilder

from weir_sdk.limits import MAX_REQUEST_BYTES
from weir_sdk.messages import Message
from weir_sdk.partitioning import partitions_for
from weir_sdk.transport import Outcome, Unavailable

_TOPICS: Final = {"page_view": "page-views", "conversion": "conversions"}
_CUSTOM: Final = "custom-events"
_STOP_SECONDS: Final = 1.0
# A write to a connection that was reset a moment ago may be a RuntimeError of the event loop.
_ERRORS: Final = (KafkaError, OSError, RuntimeError)


def topic_of(message: Message) -> str:
    """The topic that events of this type lie on, without the prefix."""
    return _TOPICS.get(message.event_type, _CUSTOM)


def key_of(message: Message) -> bytes:
    """The message key, so that a copy of an event meets the same partition as the first.

    Conversions are keyed by user, all else, and conversions of nobody, by `event_id`.
    """
    by_user = message.event_type == "conversion" and message.user_id is not None
    return (message.user_id if by_user and message.user_id else message.event_id).encode()


def _filled(
    producer: AIOKafkaProducer, messages: Sequence[Message], partitions: int
) -> Iterator[tuple[int, BatchBuilder]]:
    """The messages as record batches, each with its partition.

    aiokafka's own send makes a future for each message and takes 20 µs, in this process.
    """
    keys = [key_of(message) for message in messages]
    lanes: defaultdict[int, list[tuple[bytes, bytes]]] = defaultdict(list)
    for message, key, partition in zip(
        messages, keys, partitions_for(keys, partitions), strict=True
    ):
        lanes[partition].append((key, message.body))
    for partition, records in lanes.items():
        builder = producer.create_batch()
        for key, value in records:
            if builder.append(timestamp=None, key=key, value=value) is None:
                yield partition, builder
                builder = producer.create_batch()
                builder.append(timestamp=None, key=key, value=value)
        yield partition, builder


def _look_at(delivery: "asyncio.Future[object]") -> None:
    if not delivery.cancelled():
        delivery.exception()


class KafkaTransport:
    """Writes events to `page-views`, `conversions` and `custom-events` itself.

    The producer is idempotent and waits for all replicas. A batch that Kafka has not confirmed
    within `request_timeout` (seconds) is tried again with another producer, under the same ids.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        topic_prefix: str = "",
        request_timeout: float = 10.0,
        compression: Literal["none", "gzip", "lz4", "snappy", "zstd"] = "gzip",
        security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT",
        ssl_context: SSLContext | None = None,
        sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN",
        sasl_username: str | None = None,
        sasl_password: str | None = None,
    ) -> None:
        """As aiokafka names them; `topic_prefix` stands before each topic's name."""
        self._timeout = request_timeout
        self._prefix = topic_prefix
        self._options = {
            "bootstrap_servers": bootstrap_servers,
            "compression_type": None if compression == "none" else compression,
            "security_protocol": security_protocol,
            "ssl_context": ssl_context,
            "sasl_mechanism": sasl_mechanism,
            "sasl_plain_username": sasl_username,
            "sasl_plain_password": sasl_password,
        }
        self._producer: AIOKafkaProducer | None = None
        self._connecting: asyncio.Lock | None = None

    async def start(self) -> None:
        # Another loop than before, or another process: what there was is not ours to close.
        self._producer = None
        self._connecting = asyncio.Lock()
        await self._connected()

    async def stop(self) -> None:
        if self._producer is not None:
            await self._discard(self._producer)

    async def send(self, batch: Sequence[Message]) -> Outcome:
        by_topic: defaultdict[str, list[Message]] = defaultdict(list)
        for message in batch:
            by_topic[self._prefix + topic_of(message)].append(message)
        producer = await self._connected()
        # Before all topics are known nothing is sent, so that until then nothing is in doubt.
        partitions: dict[str, int] = {}
        try:
            async with asyncio.timeout(self._timeout):
                for topic in by_topic:
                    partitions[topic] = len(await producer.partitions_for(topic))
                await self._publish(producer, by_topic, partitions)
        except (TimeoutError, *_ERRORS) as error:
            in_doubt = len(partitions) == len(by_topic)
            unknown = isinstance(error, UnknownTopicOrPartitionError)
            if not unknown:
                await self._discard(producer)
            if unknown or not in_doubt:
                reason = "a topic of Weir does not exist or Kafka is slow; run `weir topics`"
            elif isinstance(error, TimeoutError):
                reason = "Kafka did not confirm in time"
            else:
                reason = f"Kafka did not take it ({type(error).__name__})"
            raise Unavailable(reason, in_doubt=in_doubt) from None
        return Outcome()

    async def _connected(self) -> AIOKafkaProducer:
        if self._connecting is None:
            raise Unavailable("the transport is not started")
        async with self._connecting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._options,
                    acks="all",
                    enable_idempotence=True,
                    linger_ms=0,
                    max_batch_size=MAX_REQUEST_BYTES // 2,
                    max_request_size=2 * MAX_REQUEST_BYTES,
                    request_timeout_ms=int(self._timeout * 1000),
                )
                try:
                    async with asyncio.timeout(self._timeout):
                        await producer.start()
                except (TimeoutError, *_ERRORS) as error:
                    await self._discard(producer)
                    raise Unavailable(f"Kafka cannot be reached ({type(error).__name__})") from None
                except asyncio.CancelledError:
                    await self._discard(producer)
                    raise
                self._producer = producer
            return self._producer

    async def _publish(
        self,
        producer: AIOKafkaProducer,
        by_topic: Mapping[str, Sequence[Message]],
        partitions: Mapping[str, int],
    ) -> None:
        deliveries: list[asyncio.Future[object]] = []
        try:
            for topic, messages in by_topic.items():
                for partition, records in _filled(producer, messages, partitions[topic]):
                    deliveries.append(
                        await producer.send_batch(records, topic, partition=partition)
                    )
            for found in await asyncio.gather(*deliveries, return_exceptions=True):
                if isinstance(found, BaseException):
                    raise found
        finally:
            # Each one's failure finds someone, also when another ended this before.
            for delivery in deliveries:
                delivery.add_done_callback(_look_at)

    async def _discard(self, producer: AIOKafkaProducer) -> None:
        if producer is self._producer:
            self._producer = None
        # stop() waits until all is delivered, which may be never: the sender is ended first, and
        # what it leaves is failed. aiokafka has no public way to do either.
        sender = producer._sender.sender_task if producer._sender else None  # noqa: SLF001
        if sender is not None:
            sender.cancel()
        for end in (producer.stop, producer.client.close):
            with contextlib.suppress(TimeoutError, *_ERRORS):
                async with asyncio.timeout(_STOP_SECONDS):
                    await end()
        held = producer._message_accumulator  # noqa: SLF001
        for left in (*held._pending_batches, *chain.from_iterable(held._batches.values())):  # noqa: SLF001
            if not left.future.done():
                left.future.set_exception(KafkaError("the producer is given up"))
                left.future.exception()
