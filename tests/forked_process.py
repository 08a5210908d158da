"""Weir's processes as tests start them: forked from the fork server while one runs."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from deploy.local.log_files import RotatedLog
from deploy.local.managed_process import ManagedProcess
from tests.fork_server import PROGRAM, Start

BY_PROGRAM = ("-m", PROGRAM)


class ForkServer:
    """The other end of `tests.fork_server`."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fork_server"], stdin=theirs.fileno()
            )

    def start(self, start: Start, control: socket.socket, output: int) -> None:
        """Asks for a process that writes to `output` and is told of signals by `control`."""
        socket.send_fds(self._requests, [start.message()], [control.fileno(), output])

    def close(self) -> None:
        """Ends it, and what of its processes still runs."""
        self._requests.close()
        self._process.wait()


_running: list[ForkServer] = []


@contextlib.contextmanager
def fork_server() -> Iterator[None]:
    """Until the block ends, Weir's processes that `process_of` makes are forked."""
    if sys.platform != "linux":
        # Elsewhere a fork of what has loaded so much is not safe.
        yield
        return
    server = ForkServer()
    _running.append(server)
    try:
        yield
    finally:
        _running.remove(server)
        server.close()


class ForkedProcess(ManagedProcess):
    """The process that a command would be, except that the fork server is its parent."""

    def __init__(self, server: ForkServer, name: str, start: Start, *, log: Path) -> None:
        super().__init__(name, [sys.executable, *BY_PROGRAM, *start.arguments], log=log)
        self._server = server
        self._what = start
        self._control, self._theirs = socket.socketpair()
        self._answers = self._control.makefile("rb")
        self._pid = 0

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def _was_started(self) -> bool:
        return self._pid != 0

    def start(self) -> None:
        log = RotatedLog(self.log)
        reading, writing = os.pipe()
        with self._theirs, contextlib.suppress(BrokenPipeError):
            self._server.start(self._what, self._theirs, writing)
        os.close(writing)
        number = self._answers.readline()
        if not number:
            os.close(reading)
            log.close()
            raise RuntimeError("the fork server has ended; its output says why")
        self._pid = int(number)
        self._keep(os.fdopen(reading, "rb"), log)
        threading.Thread(target=self._await_end, daemon=True).start()

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # It may have ended meanwhile, and the server with it.
        with contextlib.suppress(OSError):
            self._control.send(bytes([number]))

    def _await_end(self) -> None:
        code = self._answers.readline()
        if self._pump is not None:
            self._pump.join(timeout=2)
        self._answers.close()
        self._control.close()
        # Without an answer the server has ended, and killed it.
        self._ended.set_result(int(code) if code else -signal.SIGKILL)


def process_of(
    name: str, command: Sequence[str], *, log: Path, environment: Mapping[str, str]
) -> ManagedProcess:
    """A process of Python with these arguments, not started yet; forked where that can be."""
    if _running and tuple(command[:2]) == BY_PROGRAM:
        start = Start(list(command[2:]), {**os.environ, **environment}, str(Path.cwd()))
        return ForkedProcess(_running[-1], name, start, log=log)
    return ManagedProcess(name, [sys.executable, *command], log=log, environment=environment)
