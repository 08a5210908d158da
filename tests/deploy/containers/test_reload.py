"""A command that starts again when the source changes."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

from deploy.local.managed_process import ManagedProcess

# Says which start this is, then waits for the end, or fails as its file says.
COMMAND = """
import pathlib, signal, sys
folder = pathlib.Path(sys.argv[1])
starts = folder / "starts"
starts.write_text(starts.read_text() + "." if starts.exists() else ".")
code = (folder / "api" / "code.py").read_text()
if code.startswith("fail"):
    sys.exit(int(code.split()[1]))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
signal.pause()
"""
RUN = """
import pathlib, signal, sys
from deploy.containers.reload import Reload
folder = pathlib.Path(sys.argv[1])
reload = Reload([sys.executable, "-c", sys.argv[2], str(folder)], folder)
signal.signal(signal.SIGTERM, reload.end)
sys.exit(reload.run())
"""


@asynccontextmanager
async def reloading(folder: Path, code: str) -> AsyncIterator[ManagedProcess]:
    write(folder, code)
    process = ManagedProcess(
        "reload",
        [sys.executable, "-c", RUN, str(folder), COMMAND],
        log=folder / "reload.log",
        environment={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    process.start()
    try:
        yield process
    finally:
        await process.stop()


def write(folder: Path, code: str) -> None:
    (folder / "api").mkdir(exist_ok=True)
    draft = folder / "draft"
    draft.write_text(code)
    draft.replace(folder / "api" / "code.py")


def started(folder: Path, times: int) -> Callable[[], Awaitable[bool]]:
    async def condition() -> bool:
        file = folder / "starts"
        return file.exists() and len(file.read_text()) == times

    return condition


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = monotonic() + 30
    while not await condition():
        assert monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_it_starts_again_when_a_file_changes_and_ends_when_asked(tmp_path: Path) -> None:
    async with reloading(tmp_path, "one") as process:
        await eventually(started(tmp_path, 1))
        write(tmp_path, "two")
        await eventually(started(tmp_path, 2))
        assert await process.stop() == 0
    assert "the source has changed" in (tmp_path / "reload.log").read_text()


async def test_a_command_that_failed_waits_for_the_next_change(tmp_path: Path) -> None:
    async with reloading(tmp_path, "fail 1") as process:

        async def waits() -> bool:
            return any("ended with 1" in line for line in process.last_lines())

        await eventually(waits)
        write(tmp_path, "mended")
        await eventually(started(tmp_path, 2))
        assert process.running


async def test_a_worker_that_asks_to_be_started_anew_ends_the_container(tmp_path: Path) -> None:
    async with reloading(tmp_path, "fail 75") as process:
        async with asyncio.timeout(30):
            assert await process.wait() == 75
