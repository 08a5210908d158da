"""Waits until the sink has stored all that lies on topics up to a moment."""

from collections.abc import Sequence
from datetime import datetime

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import TopicPartition

from deploy.group_progress import has_committed
from schemas.servers import KafkaSettings
from schemas.topics import Topic
from streams.group.log_reader import LogReader


async def has_stored(
    settings: KafkaSettings, group: str, topics: Sequence[Topic], until: datetime, seconds: float
) -> bool:
    """Whether the group has committed what arrived before `until`, within so many seconds.

    Topics without messages are stored. Raises aiokafka's KafkaError.
    """
    server = settings.client_arguments()
    # As the sink reads, to whom what a transaction has not ended is not there yet.
    consumer = AIOKafkaConsumer(
        **server, enable_auto_commit=False, isolation_level="read_committed"
    )
    admin = AIOKafkaAdminClient(**server)
    log = LogReader(settings)
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
        lying = await _before(consumer, partitions, until)
        return await has_committed(admin, log, group, lying, seconds)
    finally:
        await log.stop()
        await admin.close()
        await consumer.stop()


async def _before(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], until: datetime
) -> dict[TopicPartition, range]:
    """The offsets of what arrived before `until`, by partition."""
    at = int(until.timestamp() * 1000)
    firsts = await consumer.beginning_offsets(partitions)
    ends = await consumer.end_offsets(partitions)
    later = await consumer.offsets_for_times(dict.fromkeys(partitions, at))
    found = {}
    for each in partitions:
        first_later = later[each]
        end = ends[each] if first_later is None else first_later.offset
        found[each] = range(firsts[each], end)
    return found
