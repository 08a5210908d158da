"""API keys and sites as they lie on Kafka: all of them read at once, one written."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord, TopicPartition

from schemas.api_keys import ApiKey, ApiKeyUse
from schemas.key_messages import AnyKey, decode_key
from schemas.lenient_records import read_lenient_records
from schemas.server_problems import kafka_away
from schemas.servers import KafkaSettings
from schemas.sites import Site
from schemas.topics import API_KEY_USES, API_KEYS, Topic

KAFKA_SECONDS: Final = 30.0
"""So long may Kafka take for all that one command asks of it."""
STOP_SECONDS: Final = 1.0
PARTITION: Final = 0
"""The one that edge processes follow: keys are written to it whatever is done to the topic."""


class KafkaAway(Exception):
    """Kafka cannot be reached, or did not answer in time; the message says which Kafka."""


class TopicsMissing(Exception):
    """The topics of the keys are not there; the message says what to do."""


@dataclass(slots=True)
class Listing:
    """Keys and sites by id, revoked ones too, and when each was used last as far as is known."""

    keys: dict[str, ApiKey] = field(default_factory=dict)
    sites: dict[str, Site] = field(default_factory=dict)
    last_used: dict[str, datetime] = field(default_factory=dict)


async def read_keys(settings: KafkaSettings) -> Listing:
    """All keys and sites and their uses. Raises KafkaAway or TopicsMissing."""
    read_lenient_records()
    listing = Listing()
    consumer = AIOKafkaConsumer(
        **settings.client_arguments(),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
    )
    async with _opened(consumer, settings):
        _require(settings, await consumer.topics())
        async for record in _messages(consumer, settings, API_KEYS):
            # What edge processes pass over is no key here either.
            with contextlib.suppress(ValueError):
                key_id, key = decode_key(record.key, record.value)
                listing.keys.pop(key_id, None)
                listing.sites.pop(key_id, None)
                if isinstance(key, Site):
                    listing.sites[key_id] = key
                elif key is not None:
                    listing.keys[key_id] = key
        async for record in _messages(consumer, settings, API_KEY_USES):
            with contextlib.suppress(ValueError):
                use = ApiKeyUse.model_validate_json(record.value or b"")
                # Several edge processes write, each of them a minute late at most.
                known = listing.last_used.get(use.key_id, use.last_used_at)
                listing.last_used[use.key_id] = max(known, use.last_used_at)
    return listing


async def write_key(settings: KafkaSettings, key: AnyKey) -> None:
    """Returns when Kafka has it. Raises TopicsMissing, or KafkaAway; then it may have it too."""
    producer = AIOKafkaProducer(**settings.client_arguments(), acks="all", enable_idempotence=True)
    async with _opened(producer, settings):
        _require(settings, (await producer.client.fetch_all_metadata()).topics())
        await producer.send_and_wait(
            settings.topic(API_KEYS.name),
            key=key.message_key.encode(),
            value=key.model_dump_json().encode(),
            partition=PARTITION,
        )


class _Client(Protocol):
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


_SomeClient = TypeVar("_SomeClient", bound=_Client)


@asynccontextmanager
async def _opened(client: _SomeClient, settings: KafkaSettings) -> AsyncIterator[_SomeClient]:
    """Starts and stops it; what goes wrong with Kafka meanwhile is KafkaAway."""
    try:
        async with asyncio.timeout(KAFKA_SECONDS):
            await client.start()
            yield client
    except TimeoutError:
        raise KafkaAway(f"Kafka at {settings.bootstrap_servers} did not answer in time") from None
    except (KafkaError, OSError) as error:
        raise KafkaAway(await kafka_away(error, settings)) from None
    finally:
        # A producer that holds what nobody takes would wait for ever, and a consumer lets the
        # cancellations of its own tasks through.
        await asyncio.gather(asyncio.wait_for(client.stop(), STOP_SECONDS), return_exceptions=True)


def _require(settings: KafkaSettings, existing: set[str]) -> None:
    missing = {settings.topic(API_KEYS.name), settings.topic(API_KEY_USES.name)} - existing
    if missing:
        raise TopicsMissing(f"{' and '.join(sorted(missing))} not on Kafka; run `weir topics`")


async def _messages(
    consumer: AIOKafkaConsumer, settings: KafkaSettings, topic: Topic
) -> AsyncIterator[ConsumerRecord]:
    """All messages of a topic that are there now, those of each partition in their order."""
    name = settings.topic(topic.name)
    partitions = [TopicPartition(name, number) for number in range(topic.partitions)]
    consumer.assign(partitions)
    ends = await consumer.end_offsets(partitions)
    while any([await consumer.position(each) < end for each, end in ends.items()]):
        for records in (await consumer.getmany(timeout_ms=200)).values():
            for record in records:
                yield record
