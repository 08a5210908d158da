"""What lies between two offsets of a log: messages, or only marks of transactions."""

from time import monotonic

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.structs import TopicPartition

from schemas.topics import QUOTA_ACCOUNTS, USER_PARTITIONS
from streams.group.log_reader import LogReader
from tests.weir import Weir

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]

TRANSACTIONS = 5


async def test_marks_of_transactions_are_passed_without_waiting_for_messages(weir: Weir) -> None:
    """Each look took a tenth of a second when it waited for a message that never comes."""
    topic = weir.topic(QUOTA_ACCOUNTS.name)
    arguments = weir.kafka.client_arguments()
    async with AIOKafkaProducer(**arguments, transactional_id=weir.name) as producer:
        for _ in range(TRANSACTIONS):
            async with producer.transaction():
                for partition in range(USER_PARTITIONS):
                    await producer.send(topic, b"value", b"key", partition)
    log = LogReader(weir.kafka)
    end = 2 * TRANSACTIONS
    places = [TopicPartition(topic, each) for each in range(USER_PARTITIONS)]
    try:

        async def all_marked() -> bool:
            # Marks are written once a transaction is committed, not before.
            return set((await log.ends_of(places)).values()) == {end}

        await weir.eventually(all_marked)
        began = monotonic()
        for _ in range(10):
            for partition in range(USER_PARTITIONS):
                # Messages have even offsets, marks odd ones.
                assert await log.is_empty(topic, partition, end - 1, end)
                assert await log.is_empty(topic, partition, 1, 2)
                assert not await log.is_empty(topic, partition, end - 2, end)
                assert not await log.is_empty(topic, partition, 0, end)
        assert monotonic() - began < 10 * USER_PARTITIONS * 0.1
    finally:
        await log.stop()
