import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from deploy.local.log_files import RotatedLog, last_lines
from deploy.local.managed_process import ManagedProcess

_IGNORES_SIGTERM = (
    "import signal, time; signal.signal(15, signal.SIG_IGN);print('up', flush=True); time.sleep(60)"
)
_STARTS_ANOTHER = (
    "import subprocess, sys, time;"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "print(f'child {child.pid}', flush=True); time.sleep(60)"
)


def _python(tmp_path: Path, code: str) -> ManagedProcess:
    return ManagedProcess("part", [sys.executable, "-c", code], log=tmp_path / "part.log")


async def _line(process: ManagedProcess, start: str) -> str:
    async with asyncio.timeout(10):
        while True:
            for line in process.last_lines():
                if line.startswith(start):
                    return line
            await asyncio.sleep(0.01)


async def test_output_is_in_the_log_when_the_process_has_ended(tmp_path: Path) -> None:
    process = _python(tmp_path, "import sys; print('out'); sys.exit('to standard error')")
    process.start()
    assert await process.wait() == 1
    assert sorted(process.last_lines()) == ["out", "to standard error"]


async def test_a_process_that_ignores_sigterm_is_killed_at_the_deadline(tmp_path: Path) -> None:
    process = _python(tmp_path, _IGNORES_SIGTERM)
    process.start()
    await _line(process, "up")
    began = time.monotonic()
    assert await process.stop(deadline=0.3) == -signal.SIGKILL
    assert 0.3 <= time.monotonic() - began < 3


async def test_what_a_process_started_ends_with_it(tmp_path: Path) -> None:
    process = _python(tmp_path, _STARTS_ANOTHER)
    process.start()
    child = int((await _line(process, "child")).split()[1])
    await process.stop()
    await _until(lambda: not _lives(child))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
async def test_a_process_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    starter = _python(
        tmp_path,
        "import sys, time; from pathlib import Path;"
        "from deploy.local.managed_process import ManagedProcess;"
        f"p = ManagedProcess('inner', [sys.executable, '-c', {_IGNORES_SIGTERM!r}],"
        f" log=Path({str(tmp_path / 'inner.log')!r}));"
        "p.start();\nwhile not p.last_lines(): time.sleep(0.01)\n"
        "print(f'child {p.pid}', flush=True); time.sleep(60)",
    )
    starter.start()
    child = int((await _line(starter, "child")).split()[1])
    # Not its group: the child is in a session of its own.
    os.kill(starter.pid, signal.SIGKILL)
    await _until(lambda: not _lives(child))


async def test_a_process_is_started_once(tmp_path: Path) -> None:
    process = _python(tmp_path, "pass")
    process.start()
    with pytest.raises(RuntimeError, match="make a new ManagedProcess"):
        process.start()
    await process.wait()


def test_a_log_is_rotated_by_size_and_old_copies_go(tmp_path: Path) -> None:
    log = RotatedLog(tmp_path / "part.log", max_bytes=20, copies=2)
    for number in range(8):
        log.write(f"line {number:04}\n".encode())
    log.close()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "part.log": "line 0006\nline 0007\n",
        "part.log.1": "line 0004\nline 0005\n",
        "part.log.2": "line 0002\nline 0003\n",
    }


def test_a_log_goes_on_after_a_restart(tmp_path: Path) -> None:
    for _ in range(2):
        log = RotatedLog(tmp_path / "part.log")
        log.write(b"started\n")
        log.close()
    assert last_lines(tmp_path / "part.log", 5) == ["started", "started"]


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110, nothing tells of the end of another's child
            await asyncio.sleep(0.01)


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


_LEAVES_ITS_LOG_OPEN = (
    "import subprocess, sys;"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1.5)'], "
    "start_new_session=True)"
)


async def test_a_number_that_may_be_another_process_by_now_gets_no_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = _python(tmp_path, _LEAVES_ITS_LOG_OPEN)
    process.start()
    # Reaped, so its number may be given away; not ended for us, since its log is still written.
    await _until(lambda: not psutil.pid_exists(process.pid))
    assert process.running
    signalled: list[int] = []
    for name in ("kill", "killpg"):
        monkeypatch.setattr(os, name, lambda number, _: signalled.append(number))
    process.terminate()
    process.kill()
    assert signalled == []
    assert await process.wait() == 0
