"""What a process answers at `/metrics`: all that is declared for it, and nothing else."""

import asyncio
import math
import platform
from collections.abc import Awaitable, Callable, Collection, Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from schemas.metrics import METRICS
from schemas.metrics.declaration import Process
from schemas.metrics.every_process import BUILD_INFO, READY
from schemas.metrics.instruments import OfProcess, gauge

LOOK_SECONDS: Final = 4.0
"""So long a scrape waits for what is asked of others, Kafka and ClickHouse; Prometheus waits 10."""

NOT_ASKED: Final = "readyz"

Problems = Callable[[], Awaitable[dict[str, str]]]
"""What keeps the process from its work: the part → a sentence; empty when nothing does."""

Look = Callable[[], Awaitable[None]]
"""Brings up to date what is only known by asking; raises nothing."""


async def nothing_to_ask() -> None:
    """All is known without asking anybody."""


class _Seen(Collector):
    """What was collected at one moment."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = list(families)

    def collect(self) -> list[Family]:
        return self._families


class Exposition:
    """The metrics of a process, for as long as it lives."""

    def __init__(
        self,
        process: Process,
        parts: Collection[str],
        problems: Problems,
        look: Look = nothing_to_ask,
    ) -> None:
        """`parts`: all that `problems` may name."""
        self._problems = problems
        self._look = look
        self._parts = {*parts, NOT_ASKED}
        self._metrics = OfProcess(process, METRICS)
        gauge(BUILD_INFO, process, _version(), platform.python_version()).set(1)

    async def answer(self, accept: str) -> tuple[bytes, str]:
        """The body and its Content-Type, in the format that the header `Accept` asks for."""
        await asyncio.gather(self._ask_parts(), self._look_within_time())
        encode, content_type = choose_encoder(accept)
        # Looking is done here, where nothing changes meanwhile. Writing 2,500 lines takes 12 ms,
        # for which nobody has to wait.
        seen = _Seen(self._metrics.collect())
        return await asyncio.to_thread(encode, seen), content_type

    async def _ask_parts(self) -> None:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                problems = await self._problems()
        except TimeoutError:
            # Neither well nor not: what was known of them is old.
            for part in self._parts:
                gauge(READY, part).set(math.nan)
            gauge(READY, NOT_ASKED).set(0)
            return
        self._parts |= problems.keys()
        for part in self._parts:
            gauge(READY, part).set(part not in problems)

    async def _look_within_time(self) -> None:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._look()
        except TimeoutError:
            return


def _version() -> str:
    try:
        return version("weir")
    except PackageNotFoundError:
        return "unknown"
