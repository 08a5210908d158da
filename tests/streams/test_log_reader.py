"""What lies between two offsets of a log: messages, or only marks of transactions."""

from statistics import median
from time import monotonic

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.structs import TopicPartition

from schemas.topics import QUOTA_ACCOUNTS, USER_PARTITIONS
from streams.group.log_reader import LogReader
from tests.unreadable_names import UNREADABLE, send_together
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
        took = []
        for _ in range(10):
            for partition in range(USER_PARTITIONS):
                # Messages have even offsets, marks odd ones.
                for mark in (end - 1, 1):
                    began = monotonic()
                    assert await log.is_empty(topic, partition, mark, mark + 1)
                    took.append(monotonic() - began)
                assert not await log.is_empty(topic, partition, end - 2, end)
                assert not await log.is_empty(topic, partition, 0, end)
        # The middle one: other tests hold single ones up.
        assert median(took) < 0.05
    finally:
        await log.stop()


async def test_a_message_whose_header_has_a_name_that_is_not_utf8_is_seen(weir: Weir) -> None:
    topic = weir.topic(QUOTA_ACCOUNTS.name)
    await send_together(weir.kafka, topic, 0, [(b"key", b"value", [UNREADABLE])])
    log = LogReader(weir.kafka)
    try:
        assert not await log.is_empty(topic, 0, 0, 1)
    finally:
        await log.stop()
