"""Runs the embedded ClickHouse: `python -m deploy.local.clickhouse`."""

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

import structlog
import uvicorn

from deploy.local.clickhouse.deduplication_logs import mend_deduplication_logs
from deploy.local.clickhouse.engine import Engine
from deploy.local.clickhouse.errors import ClickHouseError
from deploy.local.clickhouse.folder import FolderInUseError, sole_owner
from deploy.local.clickhouse.logs import configure_logs
from deploy.local.clickhouse.server import create_app
from deploy.local.clickhouse.settings import EmbeddedClickHouseSettings
from schemas.settings import read_settings_or_exit

# Running queries get so many seconds to end by themselves, then they are cancelled.
_GRACE: Final = 3
# After so many seconds the process ends at once. The data bears that, as it bears SIGKILL.
_LAST_MOMENT: Final = 4.8
_log: Final = structlog.get_logger()


class _Server(uvicorn.Server):
    """uvicorn's server, ending with the exit code 0 when it is told to stop.

    uvicorn raises the signal once more when it is done, which ends the process by it.
    """

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        yield

    def _stop(self, number: int) -> None:
        if not self.should_exit:
            _log.info("stopping", signal=signal.Signals(number).name)
            watchdog = threading.Timer(_LAST_MOMENT, _end_at_once)
            watchdog.daemon = True
            watchdog.start()
        self.should_exit = True


def _end_at_once() -> None:
    _log.error("did not stop in time", seconds=_LAST_MOMENT)
    os._exit(1)


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        sys.exit(
            f"weir: ClickHouse cannot listen on 127.0.0.1:{port} ({error.strerror}): stop what "
            "uses the port, or set WEIR_CLICKHOUSE_PORT to another one"
        )
    return listener


def _mend(settings: EmbeddedClickHouseSettings) -> None:
    try:
        mend_deduplication_logs(settings.folder)
    except OSError as error:
        sys.exit(
            f"weir: ClickHouse's deduplication logs cannot be checked ({error}): free space or "
            f"give access to {settings.folder}, then start again"
        )


def _serve(settings: EmbeddedClickHouseSettings, listener: socket.socket) -> None:
    _mend(settings)
    engine = Engine(settings.folder.resolve(), max_memory=settings.max_memory)
    workers = ThreadPoolExecutor(settings.connections, thread_name_prefix="query")
    config = uvicorn.Config(
        create_app(engine, settings, workers),
        http="httptools",
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_GRACE,
    )
    listener.listen(1024)
    _log.info(
        "ready",
        url=f"http://127.0.0.1:{settings.port}",
        version=engine.version,
        folder=str(settings.folder),
        connections=settings.connections,
        max_memory=settings.max_memory,
    )
    _Server(config).run(sockets=[listener])
    workers.shutdown()
    engine.close()
    _log.info("stopped")


def main() -> None:
    """Run until SIGTERM or SIGINT. Exit codes: 0 stopped, 1 cannot run, 78 bad settings."""
    # The engine takes the machine's zone for times without one, and reads it when it is loaded.
    os.environ["TZ"] = "UTC"
    settings = read_settings_or_exit(EmbeddedClickHouseSettings)
    configure_logs()
    try:
        with sole_owner(settings.folder), _listen(settings.port) as listener:
            _serve(settings, listener)
    except FolderInUseError as error:
        sys.exit(f"weir: {error}")
    except ClickHouseError as error:
        sys.exit(f"weir: ClickHouse cannot open {settings.folder}: {error.message}")


if __name__ == "__main__":
    main()
