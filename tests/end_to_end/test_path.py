"""The whole path: events in over HTTP, exact summaries out."""

import asyncio
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.access_logs import counted_by_awk
from tests.weir import Weir

pytestmark = pytest.mark.services


async def replay(weir: Weir, log: Path) -> None:
    command = [sys.executable, "-m", "deploy.commands", "replay", str(log), "--url", weir.url]
    process = weir.process(command[1:])
    assert await process.wait() == 0, process.last_lines()


async def test_a_replayed_access_log_is_counted_as_awk_counts_it_however_often(
    weir: Weir, access_log: Path
) -> None:
    expected = counted_by_awk(access_log)
    sink = weir.start_sink()
    await weir.start_api()
    await replay(weir, access_log)

    async def all_counted() -> bool:
        return sum((await weir.summary()).values()) >= sum(expected.values())

    await weir.eventually(all_counted, process=sink)
    assert await weir.summary() == expected
    assert await weir.summary(event_type="page_view") == expected

    await replay(weir, access_log)
    marker = {"event_type": "page_view", "path": "/marker"}
    for _ in range(20):
        await weir.post("/analytics/events", marker)

    async def marked() -> bool:
        return (await weir.summary()).get("/marker") == 20

    await weir.eventually(marked, process=sink)
    await asyncio.to_thread(_settled, weir)
    assert Counter(await weir.summary()) == Counter(expected) + Counter({"/marker": 20})


def _settled(weir: Weir) -> None:
    """Raw events and rollup agree, and no offset stands twice."""
    [(rows, offsets)] = weir.query(
        "SELECT count(), uniqExact(topic, partition, offset) FROM events"
    )
    [(counted,)] = weir.query(
        "SELECT sum(count) FROM event_counts WHERE dimension = '' AND unit = 900"
    )
    assert rows == offsets == counted
