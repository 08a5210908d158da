"""Faust's consumer as Weir has it, as far as Faust has no setting for it."""

from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer

from streams.group.app import GroupApp, Membership
from streams.group.lease import Lease
from streams.group.transport import FETCH_WAIT_MS, LeasingTransport
from tests.weir import Weir

_READ_COMMITTED = 1
"""As the protocol of Kafka has it."""


@pytest.mark.services
async def test_what_kafka_is_asked_for_is_what_we_say(weir: Weir, tmp_path: Path) -> None:
    membership = Membership(
        weir.kafka, weir.topic("group"), "one", tmp_path, session_timeout=6, revoke_timeout=12
    )
    app = GroupApp(membership, Lease(6), [weir.topic("quota-commands")])
    app.finalize()
    assert isinstance(app.consumer, LeasingTransport.Consumer)
    consumer = app.consumer._thread._create_worker_consumer(app.way)
    assert isinstance(consumer, AIOKafkaConsumer)
    await consumer.start()
    try:
        fetcher = consumer._fetcher
        assert fetcher._fetch_max_wait_ms == FETCH_WAIT_MS
        assert fetcher._isolation_level == _READ_COMMITTED
    finally:
        await consumer.stop()
