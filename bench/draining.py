"""How fast a worker drains a backlog, by the broker's times of what it writes."""

from asyncio import timeout
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.structs import TopicPartition

from deploy.local.managed_process import ManagedProcess
from schemas.topics import Topic
from tests.weir import Weir

SECONDS = 300


async def written(
    weir: Weir, topic: Topic, count: int, start: Callable[[], ManagedProcess]
) -> list[ConsumerRecord]:
    """The first so many messages of a topic, from the start of the worker that writes them.

    Raises TimeoutError, or RuntimeError with the worker's last lines when it ended.
    """
    consumer = AIOKafkaConsumer(**weir.kafka.client_arguments())
    await consumer.start()
    try:
        consumer.assign(
            [TopicPartition(weir.topic(topic.name), number) for number in range(topic.partitions)]
        )
        await consumer.seek_to_beginning()
        worker = start()
        found: list[ConsumerRecord] = []
        async with timeout(SECONDS):
            while len(found) < count:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += records
                if not worker.running:
                    raise RuntimeError("\n".join(worker.last_lines()))
    finally:
        await consumer.stop()
    return found


def rate(records: list[ConsumerRecord]) -> float:
    """Messages a second from the first to the last."""
    stamps: list[int] = [record.timestamp for record in records]
    return len(stamps) / ((max(stamps) - min(stamps)) / 1000)
