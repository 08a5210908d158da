"""Waits until the sink has stored all that lies on topics up to a moment."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from time import monotonic
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import TopicPartition

from schemas.servers import KafkaSettings
from schemas.topics import Topic

STEP: Final = 0.2
"""Seconds between looks at what the sink has committed."""


async def has_stored(
    settings: KafkaSettings, group: str, topics: Sequence[Topic], until: datetime, seconds: float
) -> bool:
    """Whether the group has committed what arrived before `until`, within so many seconds.

    Topics without messages are stored. Raises aiokafka's KafkaError.
    """
    server = settings.client_arguments()
    consumer = AIOKafkaConsumer(**server, enable_auto_commit=False)
    admin = AIOKafkaAdminClient(**server)
    deadline = monotonic() + seconds
    await consumer.start()
    try:
        await admin.start()
        names = [settings.topic(topic.name) for topic in topics]
        described = await admin.describe_topics(names)
        partitions = [
            TopicPartition(topic["topic"], each["partition"])
            for topic in described
            for each in topic["partitions"]
        ]
        wanted = await _offsets(consumer, partitions, until)
        while not await _committed(admin, group, wanted):
            if monotonic() > deadline:
                return False
            await asyncio.sleep(STEP)
        return True
    finally:
        await admin.close()
        await consumer.stop()


async def _offsets(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], until: datetime
) -> dict[TopicPartition, int]:
    """The offset behind what arrived before `until`, by partition; empty ones are left out."""
    at = int(until.timestamp() * 1000)
    firsts = await consumer.beginning_offsets(partitions)
    ends = await consumer.end_offsets(partitions)
    later = await consumer.offsets_for_times(dict.fromkeys(partitions, at))
    wanted = {}
    for each in partitions:
        found = later[each]
        end = ends[each] if found is None else found.offset
        if end > firsts[each]:
            wanted[each] = end
    return wanted


async def _committed(
    admin: AIOKafkaAdminClient, group: str, wanted: dict[TopicPartition, int]
) -> bool:
    if not wanted:
        return True
    committed = await admin.list_consumer_group_offsets(group, partitions=list(wanted))
    return all(each in committed and committed[each].offset >= wanted[each] for each in wanted)
