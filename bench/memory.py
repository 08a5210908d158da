"""Memory of each process, idle and after two million events."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import orjson
import psutil

from bench.edge import BATCH
from bench.http_load import load
from deploy.local.managed_process import ManagedProcess
from tests.services import ClickHouseService, KafkaService, Service, Services
from tests.weir import Weir, all_taken

EVENTS = 2_000_000


async def of_each_process(
    services: Services, weir: Weir, folder: Path, say: Callable[[str], None]
) -> None:
    """(e) resident memory in MB, through the edge and the sink."""
    api = await weir.start_api()
    sink = weir.start_sink()
    await weir.post("/analytics/events", {"event_type": "page_view", "path": "/"})
    await weir.eventually(partial(all_taken, weir), process=sink)
    processes: dict[str, ManagedProcess | None] = {
        "Kafka": _process_of(services.kafka),
        "ClickHouse": _process_of(services.clickhouse),
        "API": api,
        "sink": sink,
    }
    idle = {name: _megabytes(process) for name, process in processes.items()}
    body = orjson.dumps(
        [{"event_type": "page_view", "path": f"/products/{number}"} for number in range(BATCH)]
    )
    sent = 1
    while sent < EVENTS:
        measured = await load(
            f"{weir.url}/analytics/events", body, connections=16, seconds=5, folder=folder
        )
        sent += measured.statuses.get(202, 0) * BATCH
    await weir.eventually(partial(all_taken, weir), within=300, process=sink)
    stored = sum((await weir.summary()).values())
    say(f"(e) memory in MB, idle → after {stored:,} events:")
    for name, process in processes.items():
        say(f"    {name}: {idle[name]:.0f} → {_megabytes(process):.0f}")
    if stored != sent:
        raise RuntimeError(f"{sent} events were acknowledged and {stored} are counted")
    await asyncio.gather(api.stop(), sink.stop())


def _process_of(service: Service) -> ManagedProcess | None:
    return service.process if isinstance(service, KafkaService | ClickHouseService) else None


def _megabytes(process: ManagedProcess | None) -> float:
    if process is None:
        return 0
    whole = psutil.Process(process.pid)
    family = [whole, *whole.children(recursive=True)]
    return float(sum(each.memory_info().rss for each in family)) / 1e6
