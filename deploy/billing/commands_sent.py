"""Publishes commands to `usage-commands`, each to the partition of its key."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.billing import CustomerLinked, ForgetUse, UsageCommand, UsageCounted
from schemas.partitioning import partition_for
from schemas.server_problems import kafka_away
from schemas.servers import KafkaSettings
from schemas.topics import USAGE_COMMANDS

SECONDS: Final = 30.0
"""So long Kafka may take for a batch."""
STOP_SECONDS: Final = 1.0
BATCH: Final = 1_000


class KafkaAway(Exception):
    """Kafka cannot be reached, or did not answer in time; the message says which Kafka."""


class TopicMissing(Exception):
    """The topic is not there; the message says what to do."""


async def send_commands(settings: KafkaSettings, commands: Iterable[UsageCommand]) -> int:
    """Returns how many Kafka has, when it has all. The same twice is sent once.

    Raises TopicMissing, or KafkaAway; then it may have some.
    """
    once = list(dict.fromkeys(commands))
    topic = settings.topic(USAGE_COMMANDS.name)
    producer = AIOKafkaProducer(**settings.client_arguments(), acks="all", enable_idempotence=True)
    async with _opened(producer, settings):
        metadata = await producer.client.fetch_all_metadata()
        if topic not in metadata.topics():
            raise TopicMissing(f"{topic} is not on Kafka; run `weir topics`")
        partitions = len(metadata.partitions_for_topic(topic))
        for first in range(0, len(once), BATCH):
            async with asyncio.timeout(SECONDS):
                await _send(producer, topic, partitions, once[first : first + BATCH])
    return len(once)


async def _send(
    producer: AIOKafkaProducer, topic: str, partitions: int, commands: Sequence[UsageCommand]
) -> None:
    sent = []
    for command in commands:
        key = key_of(command).encode()
        sent.append(
            await producer.send(
                topic,
                key=key,
                value=command.model_dump_json(exclude_none=True).encode(),
                partition=partition_for(key, partitions),
            )
        )
    await asyncio.gather(*sent)


def key_of(command: UsageCommand) -> str:
    """The message key: see AnyUsageCommand."""
    if isinstance(command, CustomerLinked):
        return command.user_id
    if isinstance(command, UsageCounted | ForgetUse):
        return command.customer_id or command.user_id or ""
    return command.customer_id


@asynccontextmanager
async def _opened(producer: AIOKafkaProducer, settings: KafkaSettings) -> AsyncIterator[None]:
    """Starts and stops it; what goes wrong with Kafka meanwhile is KafkaAway."""
    try:
        async with asyncio.timeout(SECONDS):
            await producer.start()
        yield
    except TimeoutError:
        raise KafkaAway(f"Kafka at {settings.bootstrap_servers} did not answer in time") from None
    except (KafkaError, OSError) as error:
        raise KafkaAway(await kafka_away(error, settings)) from None
    finally:
        # One that holds what nobody takes would wait for ever.
        await asyncio.gather(
            asyncio.wait_for(producer.stop(), STOP_SECONDS), return_exceptions=True
        )
