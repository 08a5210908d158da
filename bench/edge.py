"""The edge: requests a second of single events and of batches."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import orjson

from bench.http_load import Measured, load
from deploy.local.managed_process import ManagedProcess
from deploy.local.ports import free_port
from tests.weir import Weir

EVENT = {
    "event_type": "page_view",
    "path": "/products/item-42",
    "user_id": "u-4711",
    "visitor_id": "v-7f3a9c",
    "metadata": {"referrer": "https://example.com/", "status": 200, "method": "GET"},
}
CONNECTIONS = 64
BATCH = 100


async def single_events(weir: Weir, folder: Path, say: Callable[[str], None]) -> None:
    """(a) one event a request, against an empty endpoint, turn by turn in one run."""
    api = await weir.start_api()
    ours_url = f"{weir.url}/analytics/events"
    empty = await _start_empty(weir)
    empty_url = f"{weir.url}/analytics/events"
    body = orjson.dumps(EVENT)
    ours: list[Measured] = []
    theirs: list[Measured] = []
    for seconds in (1.0, 4.0, 4.0, 4.0):
        for url, results in ((empty_url, theirs), (ours_url, ours)):
            results.append(
                await load(url, body, connections=CONNECTIONS, seconds=seconds, folder=folder)
            )
    # The first turn warms up.
    our_rate, their_rate = (sum(each.rate for each in turns[1:]) / 3 for turns in (ours, theirs))
    say(
        f"(a) single events: {our_rate:,.0f} requests/s "
        f"(p50 {ours[-1].p50:.1f} ms, p99 {ours[-1].p99:.1f} ms)"
    )
    say(f"    empty endpoint: {their_rate:,.0f} requests/s (p50 {theirs[-1].p50:.1f} ms)")
    say(f"    ratio {our_rate / their_rate:.2f} (asked: at least 0.6, goal 1.0)")
    await asyncio.gather(api.stop(), empty.stop())


async def batches(weir: Weir, folder: Path, say: Callable[[str], None]) -> None:
    """(b) batches of 100 on one process."""
    api = await weir.start_api()
    url = f"{weir.url}/analytics/events"
    body = orjson.dumps([EVENT] * BATCH)
    await load(url, body, connections=16, seconds=1, folder=folder)
    measured = await load(url, body, connections=16, seconds=6, folder=folder)
    say(
        f"(b) batches of {BATCH}: {measured.rate * BATCH:,.0f} events/s on one process "
        f"(p50 {measured.p50:.1f} ms, p99 {measured.p99:.1f} ms; asked: at least 60,000)"
    )
    await api.stop()


async def _start_empty(weir: Weir) -> ManagedProcess:
    port = free_port()
    weir.url = f"http://127.0.0.1:{port}"
    process = weir.process(["-m", "bench.empty_endpoint"], {"WEIR_API_PORT": str(port)})
    await weir.eventually(weir.api_ready, process=process)
    return process
