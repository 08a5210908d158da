"""One process of ours: started, logged, stopped or killed with all that it started."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO

from deploy.local.log_files import RotatedLog, last_lines

_WRAPPER = Path(__file__).with_name("bound_to_parent.py")


class ManagedProcess:
    """A process in a session of its own, so that a terminal's Ctrl-C does not reach it.

    Its output goes to `log`, rotated. When it ends, for whatever reason, the rest of its
    process group is killed; on Linux it is killed when the process that started it ends.
    Start it from the main thread: the kernel takes the end of the starting thread for the
    end of the parent.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Describe the process; `environment` is added to this process's own."""
        self.name = name
        self.command = list(command)
        self.log = log
        self._environment = dict(environment or {})
        self._folder = folder
        self._signalling = threading.Lock()
        self._popen: subprocess.Popen[bytes] | None = None
        self._pump: threading.Thread | None = None
        self._ended: Future[int] = Future()

    @property
    def pid(self) -> int:
        return self._started.pid

    @property
    def running(self) -> bool:
        return self._was_started and not self._ended.done()

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal's number, None while it runs."""
        return self._ended.result() if self._ended.done() else None

    def start(self) -> None:
        """Start it. Raises OSError when the machine cannot; RuntimeError on a second start."""
        if self._popen is not None:
            msg = f"{self.name} was started before: make a new ManagedProcess"
            raise RuntimeError(msg)
        log = RotatedLog(self.log)
        wrapped = [sys.executable, "-I", "-S", str(_WRAPPER), str(os.getpid()), *self.command]
        self._popen = subprocess.Popen(
            wrapped,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **self._environment},
            cwd=self._folder,
            start_new_session=True,
        )
        if self._popen.stdout is not None:
            self._keep(self._popen.stdout, log)
        threading.Thread(target=self._reap, name=f"end of {self.name}", daemon=True).start()

    def _keep(self, output: IO[bytes], log: RotatedLog) -> None:
        """Copies what the process writes into its log until it has ended."""
        self._pump = threading.Thread(
            target=_copy, args=(output, log), name=f"log of {self.name}", daemon=True
        )
        self._pump.start()

    async def wait(self) -> int:
        """Return the exit code once it has ended and its log is complete."""
        return await asyncio.shield(asyncio.wrap_future(self._ended))

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        with self._signalling:
            if self._has_number:
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it and all of its process group at once (SIGKILL)."""
        with self._signalling:
            if self._has_number:
                os.killpg(self.pid, signal.SIGKILL)

    async def stop(self, deadline: float = 10.0) -> int | None:
        """Ask it to end, kill it after `deadline` seconds, return its exit code.

        None when it was never started.
        """
        if not self._was_started:
            return None
        self.terminate()
        try:
            async with asyncio.timeout(deadline):
                return await self.wait()
        except TimeoutError:
            self.kill()
            return await self.wait()

    def last_lines(self, count: int = 20) -> list[str]:
        return last_lines(self.log, count)

    @property
    def _was_started(self) -> bool:
        return self._popen is not None

    @property
    def _has_number(self) -> bool:
        """Whether its number is still its own: it is reaped before its log is complete."""
        return self._popen is not None and self._popen.returncode is None

    @property
    def _started(self) -> "subprocess.Popen[bytes]":
        if self._popen is None:
            msg = f"{self.name} is not started"
            raise RuntimeError(msg)
        return self._popen

    def _reap(self) -> None:
        popen = self._started
        if sys.platform == "linux":
            # Ended but not yet reaped: its number still names its group, and no other.
            os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT)
        with self._signalling:
            try:
                if sys.platform == "linux":
                    os.killpg(popen.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            popen.wait()
        if self._pump is not None:
            self._pump.join(timeout=2)
        self._ended.set_result(popen.returncode)


def _copy(output: IO[bytes], log: RotatedLog) -> None:
    with output:
        while data := os.read(output.fileno(), 65_536):
            log.write(data)
    log.close()
