"""What tests rely on of processes that the fork server forks."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deploy.local.managed_process import ManagedProcess
from tests.fork_server import Start
from tests.forked_process import ForkedProcess, ForkServer
from tests.until import until

pytestmark = pytest.mark.services

Started = Callable[..., ForkedProcess]
SECRET = "0" * 64


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    server = ForkServer()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def started(server: ForkServer, tmp_path: Path) -> Started:
    def start(*arguments: str, environment: dict[str, str] | None = None) -> ForkedProcess:
        log = tmp_path / f"{len(list(tmp_path.iterdir()))}.log"
        what = Start(list(arguments), {**os.environ, **(environment or {})}, str(tmp_path))
        process = ForkedProcess(server, "forked", what, log=log)
        process.start()
        return process

    return start


async def test_it_has_arguments_and_environment_of_its_own(started: Started) -> None:
    for user in ("alice", "bob"):
        secret = {"WEIR_AUTH": "local", "WEIR_JWT_SECRET": SECRET}
        process = started("token", "--user", user, environment=secret)
        assert await process.wait() == 0
        [token] = process.last_lines()
        assert token.count(".") == 2
    process = started("token", "--user", "alice", environment={"WEIR_JWT_SECRET": "short"})
    assert await process.wait() not in (0, None)
    assert "WEIR_JWT_SECRET" in "\n".join(process.last_lines())


async def test_it_says_what_a_command_says_and_ends_with_its_code(
    started: Started, tmp_path: Path
) -> None:
    forked = started("nonsense")
    command = [sys.executable, "-m", "deploy.commands", "nonsense"]
    alone = ManagedProcess("alone", command, log=tmp_path / "alone.log")
    alone.start()
    assert await forked.wait() == await alone.wait() == 2
    assert forked.last_lines() == alone.last_lines()


async def test_signals_reach_it_and_it_ends_by_them(started: Started, tmp_path: Path) -> None:
    # It reads from what nobody writes to.
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for ended, code in (
        (ForkedProcess.terminate, -signal.SIGTERM),
        (ForkedProcess.kill, -signal.SIGKILL),
    ):
        process = started("replay", str(fifo))
        assert os.getpgid(process.pid) == process.pid
        ended(process)
        assert await process.wait() == process.returncode == code
        assert not process.running
        # What is asked of it now, nobody hears.
        process.kill()


async def test_what_runs_ends_with_the_server(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    server = ForkServer()
    what = Start(["replay", str(fifo)], dict(os.environ), str(tmp_path))
    process = ForkedProcess(server, "forked", what, log=tmp_path / "forked.log")
    process.start()
    server.close()
    assert await process.wait() == -signal.SIGKILL

    def gone() -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
        return True

    await until(gone)
