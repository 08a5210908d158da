"""`make bench`: starts Kafka and ClickHouse, measures each claim, prints the figures."""

import asyncio
import os
import platform
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import edge, export, freshness, memory, middleware, questions, quotas, sink, social
from tests.services import local_services
from tests.weir import Weir, throwaway_weir

PARTS = ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def measure(folder: Path, parts: set[str]) -> None:
    """Runs the parts one after the other, each on topics and tables of its own."""
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    say(f"{os.cpu_count()} cores, {machine}")
    async with local_services(folder) as services:
        if "a" in parts:
            async with throwaway_weir(services, folder) as weir:
                await edge.single_events(weir, folder, say)
        if "b" in parts:
            async with throwaway_weir(services, folder) as weir:
                await edge.batches(weir, folder, say)
        if "c" in parts:
            async with (
                throwaway_weir(services, folder) as weir,
                throwaway_weir(services, folder) as alone,
            ):
                await sink.from_a_full_topic(weir, alone, say)
        if "d" in parts:
            async with throwaway_weir(services, folder) as weir:
                await freshness.until_counted(weir, say)
        if "e" in parts:
            async with throwaway_weir(services, folder) as weir:
                await memory.of_each_process(services, weir, folder, say)
        if "f" in parts:
            async with throwaway_weir(services, folder) as weir:
                await middleware.against_none(weir, folder, say)
        if "g" in parts:
            async with AsyncExitStack() as stack:

                async def fresh() -> Weir:
                    return await stack.enter_async_context(throwaway_weir(services, folder))

                await questions.as_tables_grow(fresh, say)
        if "h" in parts:
            async with throwaway_weir(services, folder) as weir:
                await export.of_each_format(services, weir, say)
        if "i" in parts:
            async with throwaway_weir(services, folder) as weir:
                await quotas.decisions(weir, folder, say)
        if "j" in parts:
            async with throwaway_weir(services, folder) as weir:
                await social.posts(weir, folder, say)


def main() -> None:
    parts = set(sys.argv[1:]) or set(PARTS)
    if unknown := parts - set(PARTS):
        raise SystemExit(
            f"bench: no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}"
        )
    with TemporaryDirectory(prefix="weir-bench-") as folder:
        asyncio.run(measure(Path(folder), parts))


main()
