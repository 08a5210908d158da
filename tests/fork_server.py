"""Forks Weir's processes from one that has loaded what they import, for a run of tests.

`python -m tests.fork_server`, a seqpacket socket as standard input. Each message is the JSON of a
`Start` with two file descriptors: a socket of that process's own, and its output. On that socket
come the process's number and, once it has ended, its exit code; a byte to it is a signal's number.

A start takes a second of the processor, most of it imports; a run of tests starts some thousand.
What a process does itself is not touched: it begins at `python -m deploy.commands`.
"""

import contextlib
import ctypes
import gc
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from dataclasses import asdict, dataclass
from importlib import import_module

PROGRAM = "deploy.commands"
_LOADED = (
    "api.serving",
    "deploy.logs",
    "deploy.preflight.processes",
    "deploy.preflight.start",
    "streams.billing.process",
    "streams.quotas.process",
    "streams.sink.process",
    "streams.social.openai_provider",
    "streams.social.process",
    "streams.social.stub",
)
_MAX_MESSAGE = 200_000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Start:
    """What of PROGRAM's to start: its arguments, its environment, the folder it starts in."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str

    def message(self) -> bytes:
        return json.dumps(asdict(self)).encode()


@dataclass(frozen=True, slots=True)
class _Child:
    pid: int
    ended: int
    """A file descriptor, readable once it has ended."""
    control: socket.socket


class _Server:
    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._selector = selectors.DefaultSelector()
        self._selector.register(requests, selectors.EVENT_READ)
        self._children: dict[int, _Child] = {}

    def next_child(self) -> Start | None:
        """In each process it forks: what that one is to do. Here None, once nobody asks."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is not self._requests:
                    self._serve(key.data, key.fd)
                    continue
                message, descriptors, _, _ = socket.recv_fds(self._requests, _MAX_MESSAGE, 2)
                if not message:
                    return None
                start = Start(**json.loads(message))
                if self._fork(start, *descriptors):
                    return start

    def _fork(self, start: Start, control: int, output: int) -> bool:
        """Whether this is the new process."""
        parent = os.getpid()
        pid = os.fork()
        if pid:
            os.close(output)
            child = _Child(pid, os.pidfd_open(pid), socket.socket(fileno=control))
            self._children[pid] = child
            for readable in (child.ended, child.control):
                self._selector.register(readable, selectors.EVENT_READ, child)
            return False
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        os.setsid()
        # What the server waits with must not stay open here, nor be closed later under a number
        # that is another's by then.
        self._selector.close()
        self._requests.close()
        for other in self._children.values():
            other.control.close()
            os.close(other.ended)
        # Its group is there now, to be signalled.
        os.write(control, b"%d\n" % os.getpid())
        os.close(control)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        os.chdir(start.folder)
        os.environ.clear()
        os.environ.update(start.environment)
        return True

    def _serve(self, child: _Child, readable: int) -> None:
        if child.pid not in self._children:
            return
        if readable == child.ended:
            self._reap(child)
            return
        try:
            signals = child.control.recv(16)
        except ConnectionError:
            signals = b""
        if not signals:
            # Nobody waits for it any more.
            self._selector.unregister(child.control)
            self._kill(child)
        for number in signals:
            if number == signal.SIGKILL:
                self._kill(child)
            else:
                os.kill(child.pid, number)

    def _kill(self, child: _Child) -> None:
        os.kill(child.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)

    def _reap(self, child: _Child) -> None:
        # Ended but not yet reaped: its number still names its group, and no other.
        self._kill(child)
        _, status = os.waitpid(child.pid, 0)
        del self._children[child.pid]
        with contextlib.suppress(KeyError):
            self._selector.unregister(child.control)
        self._selector.unregister(child.ended)
        os.close(child.ended)
        with contextlib.suppress(OSError):
            child.control.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
        child.control.close()


def _serve_until_asked() -> Start | None:
    for module in _LOADED:
        import_module(module)
    gc.collect()
    gc.freeze()
    return _Server(socket.socket(fileno=os.dup(0))).next_child()


def main() -> None:
    start = _serve_until_asked()
    if start is not None:
        sys.argv = [PROGRAM, *start.arguments]
        runpy.run_module(PROGRAM, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
