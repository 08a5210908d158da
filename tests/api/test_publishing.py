"""The publisher outlives its producer, whatever ends it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic

import pytest
import uvloop

from api.publishing import KafkaPublisher, KafkaUnavailable, Message
from tests.weir import Weir

pytestmark = pytest.mark.services


async def until(condition: Callable[[], Awaitable[bool]], within: float = 30) -> None:
    deadline = monotonic() + within
    while not await condition():
        assert monotonic() < deadline
        await asyncio.sleep(0.02)


async def published(publisher: KafkaPublisher) -> bool:
    try:
        await publisher.publish([Message("page-views", b"key", b"value")])
    except KafkaUnavailable:
        return False
    return True


async def connections_closed(publisher: KafkaPublisher) -> None:
    """Closes the producer's connections such that it does not know yet, as a reset does."""
    for connection in publisher._connected().client._conns.values():
        connection._reader.feed_eof = lambda: None
        connection._writer.transport.abort()
        await connection._closed_fut


async def resets(weir: Weir) -> str | None:
    """What it said of its first connection being reset; then it must recover."""
    async with KafkaPublisher(weir.kafka, timeout=1.0, max_bytes=1 << 22) as publisher:
        await until(lambda: published(publisher))
        await connections_closed(publisher)
        problem = await publisher.problem()
        assert not await published(publisher)
        await until(lambda: published(publisher))
        assert await publisher.problem() is None
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return problem


async def test_a_write_to_a_connection_that_was_reset(
    weir: Weir, caplog: pytest.LogCaptureFixture
) -> None:
    """uvloop raises a RuntimeError then, which no part of aiokafka expects."""
    with caplog.at_level(logging.ERROR):
        problem = await asyncio.to_thread(uvloop.run, resets(weir))
    assert "the handler is closed" in caplog.text
    assert "never retrieved" not in caplog.text
    assert "does not answer" in (problem or "")
