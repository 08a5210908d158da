"""One machine, two commands: from a clean clone to exact counts, again and side by side."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import aiohttp
import psutil
import pytest

from tests.access_logs import counted_by_awk
from tests.fenced import RUN, blocks
from tests.ports import free_ports
from tests.steps import Place, run

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]

CHECKOUT = Path(__file__).parents[2]
STOP_WITHIN = 20.0


class Running:
    """A `make up` or `weir up` in a terminal of its own."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self._process = process
        self.url = url

    async def ready(self, within: float) -> None:
        async with asyncio.timeout(within):
            assert self._process.stdout is not None
            said = []
            async for line in self._process.stdout:
                said.append(line.decode())
                if line.startswith(b"Weir is ready at "):
                    assert line.decode().strip() == f"Weir is ready at {self.url}"
                    return
        raise AssertionError("".join(said))

    async def interrupt(self) -> float:
        """Presses Ctrl-C, as a terminal does it; returns how many seconds it took to stop."""
        began = monotonic()
        os.killpg(self._process.pid, signal.SIGINT)
        await asyncio.wait_for(self._process.wait(), STOP_WITHIN + 5)
        return monotonic() - began

    async def summary(self) -> dict[str, int]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}/analytics/summary?limit=10000&bots=include") as answer,
        ):
            document = await answer.json()
            return {item["path"]: item["count"] for item in document["items"]}

    async def counted(self, expected: Mapping[str, int]) -> None:
        deadline = monotonic() + 30
        while (summary := await self.summary()) != expected:
            assert monotonic() < deadline, summary
            await asyncio.sleep(0.1)

    async def send(self, path: str) -> None:
        event = {"event_type": "page_view", "path": path}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/analytics/events", json=event) as answer,
        ):
            assert answer.status == 202, await answer.text()


@asynccontextmanager
async def started(
    command: list[str], folder: Path, environment: Mapping[str, str], within: float
) -> AsyncIterator[Running]:
    """Runs the command until the block ends, and leaves no process behind."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    running = Running(process, f"http://127.0.0.1:{environment['WEIR_API_PORT']}")
    try:
        await running.ready(within)
        yield running
        assert await running.interrupt() < STOP_WITHIN
        assert left_behind(environment["WEIR_KAFKA_PORT"]) == []
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)


def left_behind(kafka_port: str) -> list[list[str]]:
    """Processes that still have this Weir's environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("WEIR_KAFKA_PORT") == kafka_port:
                found.append(process.cmdline())
        except psutil.Error:
            continue
    return found


def environment_with_free_ports(**more: str) -> dict[str, str]:
    """A fresh user's environment: none of this run's settings, caches or virtual environment."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("WEIR_", "UV_CACHE", "VIRTUAL_ENV", "M2_REPO", "MAKE", "MFLAGS"))
    }
    return {**kept, **free_ports(), **more}


async def replay(weir: Path, log: Path, folder: Path, environment: Mapping[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        str(weir), "replay", str(log), cwd=folder, env=dict(environment), stdout=subprocess.DEVNULL
    )
    assert await asyncio.wait_for(process.wait(), 60) == 0


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean clone; whoever runs `make up` there first installs all that it needs."""
    folder = tmp_path_factory.mktemp("clone") / "weir"
    subprocess.run(["git", "clone", "-q", str(CHECKOUT), str(folder)], check=True)
    return folder


def environment_of(clone: Path, data: Path) -> dict[str, str]:
    """A fresh user's in this clone, with data of its own."""
    return environment_with_free_ports(HOME=str(clone.parent), WEIR_DATA_DIR=str(data))


async def test_the_readme_leads_from_a_clone_to_the_first_event(
    clone: Path, tmp_path: Path
) -> None:
    """Its two commands, then its first requests, as they stand there."""
    readme = list(blocks(clone / "README.md"))
    [beginning] = [each for each in readme if each.word == "needs-clone"]
    commands = [line.partition("#")[0].strip() for line in beginning.text.splitlines()]
    assert commands == ["make up", "make test"]
    environment = environment_of(clone, tmp_path / "data")
    async with started(commands[0].split(), clone, environment, within=420):
        for block in [each for each in readme if each.word == RUN][:3]:
            for step in block.steps():
                await asyncio.to_thread(run, Place(clone, environment), block, step)


async def test_a_clean_clone_counts_a_log_exactly_and_keeps_it_across_restarts(
    clone: Path, tmp_path: Path, access_log: Path
) -> None:
    environment = environment_of(clone, tmp_path / "data")
    expected = counted_by_awk(access_log)
    weir = clone / ".venv" / "bin" / "weir"
    async with started(["make", "up"], clone, environment, within=420) as up:
        await replay(weir, access_log, clone, environment)
        await up.counted(expected)
        await replay(weir, access_log, clone, environment)
        await up.send("/after-both-replays")
        await up.counted(expected | {"/after-both-replays": 1})
    async with started(["make", "up"], clone, environment, within=60) as up:
        assert await up.summary() == expected | {"/after-both-replays": 1}
        await up.send("/after-the-restart")
        await up.counted(expected | {"/after-both-replays": 1, "/after-the-restart": 1})


async def test_two_run_side_by_side(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deploy.commands", "up"]
    environments = [
        environment_with_free_ports(WEIR_DATA_DIR=str(tmp_path / name)) for name in ("one", "two")
    ]
    async with (
        started(command, CHECKOUT, environments[0], within=60) as one,
        started(command, CHECKOUT, environments[1], within=60) as two,
    ):
        await one.send("/one")
        await two.send("/two")
        await one.counted({"/one": 1})
        await two.counted({"/two": 1})
