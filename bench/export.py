"""Exports of two million events in each format: rows a second, and the memory they take."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter

import clickhouse_connect
import psutil

from deploy.local.managed_process import ManagedProcess
from tests.services import ClickHouseService, Services
from tests.weir import Weir

ROWS = 2_000_000
FORMATS = ("ndjson", "csv", "parquet")
SAMPLE_SECONDS = 0.02

FILL = """
INSERT INTO events (
    event_id, event_type, path, user_id, visitor_id, source, occurred_at, received_at, metadata,
    topic, partition, incarnation, offset, device, browser, os, referrer, country, status, method
)
SELECT
    generateUUIDv4(), 'page_view', concat('/products/', toString(number % 1000)),
    if(number % 2 = 0, '', concat('user-', toString(cityHash64(number) % 10000))),
    concat('visitor-', toString(cityHash64(number) % 50000)), 'web',
    toDateTime64('2026-01-01 00:00:00.000', 3, 'UTC') + (number * 7919) % {rows:UInt64} AS occurred,
    occurred,
    concat('{"status":200,"duration_ms":', toString(cityHash64(number) % 1000), ',"user_agent":',
           '"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"}'),
    'page-views', number % 6, 1, number, 'desktop', 'Firefox', 'Linux', 'example.com', 'DE',
    '200', 'GET'
FROM numbers({rows:UInt64})
"""


@dataclass
class Memory:
    """Resident bytes of a process: before, and the most that was seen."""

    process: psutil.Process
    before: int = 0
    most: int = 0

    def look(self) -> None:
        self.most = max(self.most, self.process.memory_info().rss)

    @property
    def grown(self) -> float:
        """MB."""
        return (self.most - self.before) / 1e6


async def of_each_format(services: Services, weir: Weir, say: Callable[[str], None]) -> None:
    """(h) rows/s of an export, and what API and ClickHouse take in memory beyond what they had."""
    await asyncio.to_thread(_fill, weir)
    api = await weir.start_api()
    say(f"(h) export of {ROWS:,} events, one at a time:")
    for format_ in FORMATS:
        # Afresh: memory that an export before had taken would hide what this one takes.
        await services.clickhouse.kill()
        await services.clickhouse.start()
        await weir.eventually(weir.api_ready, process=api)
        processes = {"API": api}
        if isinstance(services.clickhouse, ClickHouseService) and services.clickhouse.process:
            processes["ClickHouse"] = services.clickhouse.process
        await _export(weir, format_, path="/none")
        async with _memory(processes) as memory:
            begun = perf_counter()
            size = await _export(weir, format_)
            seconds = perf_counter() - begun
        grown = ", ".join(f"{name} +{each.grown:.0f} MB" for name, each in memory.items())
        say(
            f"    {format_}: {ROWS / seconds:,.0f} rows/s, {size / seconds / 1e6:.0f} MB/s, "
            f"{size / 1e6:,.0f} MB; {grown}"
        )


def _fill(weir: Weir) -> None:
    settings = weir.clickhouse
    with clickhouse_connect.get_client(
        **settings.clickhouse_arguments(), database=settings.database
    ) as client:
        # Rollups are not asked here.
        for (view,) in client.query(
            "SELECT name FROM system.tables "
            "WHERE database = currentDatabase() AND engine = 'MaterializedView'"
        ).result_rows:
            client.command(f"DROP VIEW {view}")
        client.command(FILL, parameters={"rows": ROWS})


async def _export(weir: Weir, format_: str, **filters: str) -> int:
    """Bytes of a whole export."""
    size = 0
    async with weir.session.get(
        f"{weir.url}/analytics/export", params={"format": format_, **filters}
    ) as answer:
        answer.raise_for_status()
        async for piece in answer.content.iter_any():
            size += len(piece)
    return size


@asynccontextmanager
async def _memory(processes: dict[str, ManagedProcess]) -> AsyncIterator[dict[str, Memory]]:
    """The memory of processes, looked at until the block ends."""
    memory = {name: Memory(psutil.Process(each.pid)) for name, each in processes.items()}
    for each in memory.values():
        each.before = each.most = each.process.memory_info().rss

    async def watch() -> None:
        while True:
            for each in memory.values():
                each.look()
            await asyncio.sleep(SAMPLE_SECONDS)

    watching = asyncio.create_task(watch())
    try:
        yield memory
    finally:
        watching.cancel()
