"""Waits until a consumer group has committed what lies on partitions."""

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import TopicPartition

from deploy.kafka_silence import patience
from streams.group.log_reader import LogReader

STEP: Final = 0.2
"""Seconds between looks at what the group has committed."""


async def has_committed(
    admin: AIOKafkaAdminClient,
    log: LogReader,
    group: str,
    offsets: Mapping[TopicPartition, range],
    seconds: float,
) -> bool:
    """Whether the group has committed all messages at these offsets, within so many seconds.

    `offsets`: from the partition's first up to, not with, one that a reader of what transactions
    have ended may pass: an end for such a reader, or below it. Raises KafkaError.
    """
    wanted = {at: lying for at, lying in offsets.items() if lying}
    looked_at: dict[TopicPartition, int] = {}
    deadline = monotonic() + seconds
    while wanted:
        committed = await admin.list_consumer_group_offsets(group, partitions=list(wanted))
        for at, lying in tuple(wanted.items()):
            begin = max(lying.start, committed[at].offset if at in committed else 0)
            if begin < lying.stop and looked_at.get(at) == begin:
                continue
            looked_at[at] = begin
            # At the end there may be marks of a transaction, which nobody reads.
            if begin >= lying.stop or await _is_empty(log, at, range(begin, lying.stop)):
                del wanted[at]
        if not wanted:
            break
        if monotonic() > deadline:
            return False
        await asyncio.sleep(STEP)
    return True


async def _is_empty(log: LogReader, at: TopicPartition, offsets: range) -> bool:
    async with patience(at):
        return await log.is_empty(at.topic, at.partition, offsets.start, offsets.stop)
