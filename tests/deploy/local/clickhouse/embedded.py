"""Starts the embedded ClickHouse as a process of its own, as a user would."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from deploy.local.ports import free_port

READY_WITHIN = 30.0


def eventually(condition: Callable[[], bool], *, within: float = 10.0) -> bool:
    """Whether a condition becomes true within so many seconds."""
    deadline = time.monotonic() + within
    pause = threading.Event()
    while time.monotonic() < deadline:
        if condition():
            return True
        pause.wait(0.02)
    return False


class EmbeddedClickHouse:
    """One process of the embedded ClickHouse on a folder of its own."""

    def __init__(self, data_dir: Path, environment: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self._environment = {
            **os.environ,
            "WEIR_DATA_DIR": str(data_dir),
            "WEIR_CLICKHOUSE_PORT": str(self.port),
            **(environment or {}),
        }
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.output: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def process(self) -> "subprocess.Popen[str]":
        assert self._process is not None
        return self._process

    def spawn(self) -> None:
        """Start the process without waiting for it."""
        self._lines = queue.SimpleQueue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "deploy.local.clickhouse"],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, args=(self._process, self._lines), daemon=True).start()

    def start(self) -> None:
        """Start the process and return when it is ready."""
        self.spawn()
        deadline = time.monotonic() + READY_WITHIN
        while (line := self._lines.get(timeout=deadline - time.monotonic())) is not None:
            if '"ready"' in line:
                return
        raise AssertionError("\n".join(self.output))

    def wait(self, within: float = 15.0) -> int:
        """The exit code."""
        return self.process.wait(within)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End the process if it runs; its exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self.terminate()
        return self.wait()

    def client(self, **arguments: object) -> Client:
        """A synchronous clickhouse-connect client."""
        client: Client = clickhouse_connect.get_client(
            host="127.0.0.1",
            port=self.port,
            **{"autogenerate_session_id": False, **arguments},  # type: ignore[arg-type]
        )
        return client

    def _read(
        self, process: "subprocess.Popen[str]", lines: "queue.SimpleQueue[str | None]"
    ) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.output.append(line.rstrip("\n"))
            lines.put(line)
        lines.put(None)
