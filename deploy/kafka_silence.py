"""Bounds how long a Kafka that has records may send none of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import TopicPartition

SILENCE: Final = 30.0
"""Seconds after which Kafka, which has sent nothing of what it has, is taken to be away."""


@asynccontextmanager
async def patience(place: TopicPartition) -> AsyncIterator[None]:
    """Around what ends when the next records have come. Raises KafkaTimeoutError."""
    try:
        async with asyncio.timeout(SILENCE):
            yield
    except TimeoutError:
        raise KafkaTimeoutError(f"{place} has sent nothing for {SILENCE:.0f} s") from None
