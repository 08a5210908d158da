"""No credit lost, none charged twice, whatever is killed; and each safeguard is needed for it."""

import asyncio
import shutil
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from random import Random
from time import monotonic

import pytest

from deploy.local.managed_process import ManagedProcess
from tests.quota_load import QuotaLoad
from tests.secure_services import secure_services
from tests.weir import Weir, all_taken, throwaway_weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]

SECONDS = 120.0
CALLERS = 24
FEW = [f"few-{number}" for number in range(4)]
"""Users whose limit is met within seconds."""
MANY = [f"many-{number}" for number in range(36)]
"""Users who can be charged until the end."""
PLANS = """
version = 1
default = "free"

[plans.free]
title = "Free"
limit = 150
unlocks = []

[plans.business]
title = "Business"
limit = 1_000_000
unlocks = []
"""


class Workers:
    """Two quotas workers, each with a folder of its own, that are killed and started again."""

    def __init__(self, weir: Weir) -> None:
        self._weir = weir
        self._running: list[ManagedProcess | None] = [None, None]

    def folder(self, number: int) -> Path:
        return self._weir.folder / f"quotas-{number}"

    async def start(self, number: int, *, wait: bool = False) -> None:
        process = self._weir.start_quotas(
            {"WEIR_QUOTAS_DIR": str(self.folder(number)), "WEIR_QUOTAS_SESSION_TIMEOUT": "2"}
        )
        self._running[number] = process
        if wait:
            await self._weir.eventually(partial(says, process, "worker ready"), process=process)

    async def kill(self, number: int) -> None:
        process = self._running[number]
        assert process is not None
        process.kill()
        await process.wait()

    def lose_disk(self, number: int) -> None:
        shutil.rmtree(self.folder(number))

    def ended(self) -> list[int]:
        """Those that ended by themselves, as they do when Kafka is away for long."""
        return [
            number
            for number, process in enumerate(self._running)
            if process is not None and not process.running
        ]


async def says(process: ManagedProcess, text: str) -> bool:
    return process.log.exists() and text in process.log.read_text()


async def prepared(weir: Weir) -> tuple[Workers, list[str]]:
    """Plans, a sink, two edges, two workers; the workers and the edges' addresses."""
    plans = weir.folder / "plans.toml"
    plans.write_text(PLANS)
    weir.environment["WEIR_PLANS_FILE"] = str(plans)
    weir.start_sink()
    workers = Workers(weir)
    await workers.start(0, wait=True)
    await workers.start(1)
    edges = []
    for _ in range(2):
        # Spends are repeated as often as nobody answers, while Kafka is away: not what is tried.
        await weir.start_api({"WEIR_RATE_LIMIT_USER": ""})
        edges.append(weir.url)
    for user in MANY:
        async with weir.session.put(
            f"{weir.url}/api/users/{user}/plan", json={"plan": "business"}
        ) as answer:
            assert answer.status == 200, await answer.text()
    return workers, edges


Faults = Callable[[asyncio.Task[None]], Awaitable[None]]
"""What is done to the workers while a task spends."""


async def during(weir: Weir, edges: list[str], faults: Faults) -> QuotaLoad:
    """Load on the edges as long as the faults go on."""
    load = QuotaLoad(weir, edges, [*FEW, *MANY], seed=1)
    done = asyncio.Event()
    spending = asyncio.create_task(load.run(CALLERS, done))
    try:
        await faults(spending)
    finally:
        done.set()
        await spending
    return load


async def exact(weir: Weir, load: QuotaLoad) -> None:
    """All that was answered is charged once, in the table and in the ledger, within the limit."""
    assert await load.differences() == []
    await weir.eventually(partial(all_taken, weir), within=90)
    assert await load.ledger_differences() == []


async def test_workers_killed_under_load_charge_each_answered_spend_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two minutes: a worker killed every few seconds, disks lost, Kafka killed in between."""
    async with secure_services(tmp_path) as own, throwaway_weir(own, tmp_path) as weir:
        workers, edges = await prepared(weir)
        chance = Random(2)
        kills = 0
        kafka_back = 0.0

        async def faults(spending: asyncio.Task[None]) -> None:
            nonlocal kills, kafka_back
            began = monotonic()
            while (passed := monotonic() - began) < SECONDS:
                # A load that fails ends this early.
                await asyncio.wait({spending}, timeout=chance.uniform(3, 6))
                if spending.done():
                    return
                if not kafka_back and passed > SECONDS / 2:
                    await own.kafka.kill()
                    await own.kafka.start()
                    kafka_back = monotonic()
                victim = chance.randrange(2)
                await workers.kill(victim)
                kills += 1
                if kills % 4 == 0:
                    workers.lose_disk(victim)
                for number in {victim, *workers.ended()}:
                    await workers.start(number)

        load = await during(weir, edges, faults)
        ended = monotonic()
        for number in workers.ended():
            await workers.start(number)
        await exact(weir, load)
        with capsys.disabled():
            sys.stdout.write(f"\n{kills} kills, Kafka once: {load.shown()}\n")
        # Charged until the end, by workers that were killed before; and some met their limit.
        charged = [each for each in load.answered if each.status == 200]
        assert sum(each.at > kafka_back for each in charged) > 100
        assert sum(each.at > ended - SECONDS / 6 for each in charged) > 50
        assert {each.user for each in load.answered if each.status == 403} == set(FEW)
