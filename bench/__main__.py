"""`make bench`: starts Kafka and ClickHouse, measures each claim, prints the figures."""

import asyncio
import os
import platform
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench import (
    billing,
    edge,
    export,
    freshness,
    memory,
    middleware,
    pages,
    questions,
    quotas,
    sink,
    social,
    social_at_once,
)
from tests.services import Services, local_services
from tests.weir import Weir, throwaway_weir

PARTS: Final = ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m")

Measure = Callable[[Services, Path], Awaitable[None]]


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def measure(folder: Path, parts: set[str]) -> None:
    """Runs the parts one after the other, each on topics and tables of its own."""
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    say(f"{os.cpu_count()} cores, {machine}")
    async with local_services(folder) as services:
        for part in PARTS:
            if part in parts:
                await MEASURES[part](services, folder)


def of_one_weir(
    measured: Callable[[Weir, Path, Callable[[str], None]], Awaitable[None]],
) -> Measure:
    """On a Weir of its own."""

    async def run(services: Services, folder: Path) -> None:
        async with throwaway_weir(services, folder) as weir:
            await measured(weir, folder, say)

    return run


async def measure_sink(services: Services, folder: Path) -> None:
    async with (
        throwaway_weir(services, folder) as weir,
        throwaway_weir(services, folder) as alone,
    ):
        await sink.from_a_full_topic(weir, alone, say)


async def measure_memory(services: Services, folder: Path) -> None:
    async with throwaway_weir(services, folder) as weir:
        await memory.of_each_process(services, weir, folder, say)


async def measure_questions(services: Services, folder: Path) -> None:
    async with AsyncExitStack() as stack:

        async def fresh() -> Weir:
            return await stack.enter_async_context(throwaway_weir(services, folder))

        await questions.as_tables_grow(fresh, say)


async def measure_export(services: Services, folder: Path) -> None:
    async with throwaway_weir(services, folder) as weir:
        await export.of_each_format(services, weir, say)


async def measure_social_at_once(services: Services, folder: Path) -> None:
    await social_at_once.of_many_users(services, folder, say)


MEASURES: Final[dict[str, Measure]] = {
    "a": of_one_weir(edge.single_events),
    "b": of_one_weir(edge.batches),
    "c": measure_sink,
    "d": of_one_weir(lambda weir, _, tell: freshness.until_counted(weir, tell)),
    "e": measure_memory,
    "f": of_one_weir(middleware.against_none),
    "g": measure_questions,
    "h": measure_export,
    "i": of_one_weir(quotas.decisions),
    "j": of_one_weir(social.posts),
    "k": of_one_weir(billing.reports),
    "l": of_one_weir(pages.in_a_browser),
    "m": measure_social_at_once,
}


def main() -> None:
    parts = set(sys.argv[1:]) or set(PARTS)
    if unknown := parts - set(PARTS):
        raise SystemExit(
            f"bench: no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}"
        )
    with TemporaryDirectory(prefix="weir-bench-") as folder:
        asyncio.run(measure(Path(folder), parts))


main()
