"""Kafka and ClickHouse for tests: the very ones that `weir up` starts, or others by address."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Protocol

import aiohttp

from deploy.local.kafka import LocalKafka
from deploy.local.managed_process import ManagedProcess
from deploy.local.ports import LOOPBACK, free_port


@dataclass
class KafkaService:
    """A broker that can be killed and started again on its data."""

    broker: LocalKafka
    log: Path
    process: ManagedProcess | None = None

    @property
    def bootstrap_servers(self) -> str:
        return self.broker.bootstrap_servers

    async def start(self) -> None:
        self.broker.prepare()
        self.process = ManagedProcess("kafka", self.broker.command(), log=self.log)
        self.process.start()
        process = self.process
        await self.broker.wait_ready(60, lambda: process.running)

    async def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            await self.process.wait()

    async def stop(self) -> None:
        if self.process is not None:
            await self.process.stop()


@dataclass
class ClickHouseService:
    """An embedded ClickHouse that can be killed and started again on its data."""

    data_dir: Path
    port: int
    log: Path
    process: ManagedProcess | None = None
    program: str = "deploy.local.clickhouse"
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self.process = ManagedProcess(
            "clickhouse",
            [sys.executable, "-m", self.program],
            log=self.log,
            environment={
                "WEIR_DATA_DIR": str(self.data_dir),
                "WEIR_CLICKHOUSE_PORT": str(self.port),
                **self.environment,
            },
        )
        self.process.start()
        process = self.process
        await answers_pings(self.url, lambda: process.running)

    async def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            await self.process.wait()

    async def stop(self) -> None:
        if self.process is not None:
            await self.process.stop()


async def answers_pings(url: str, alive: Callable[[], bool] = lambda: True) -> None:
    """Returns when ClickHouse answers; fails when it has ended, or after a minute."""
    deadline = monotonic() + 60
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{url}/ping") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            if not alive() or monotonic() > deadline:
                raise AssertionError(f"ClickHouse at {url} does not answer")
            await asyncio.sleep(0.05)


async def accepts(port: int, alive: Callable[[], bool]) -> None:
    """Returns when somebody listens; fails when the process has ended, or after a minute."""
    deadline = monotonic() + 60
    while True:
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            if not alive() or monotonic() > deadline:
                raise AssertionError(f"nobody listens on port {port}") from None
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


class Service(Protocol):
    """A server that can be killed and started again on its data, at the same address."""

    async def start(self) -> None:
        """Returns when it is ready."""

    async def kill(self) -> None: ...


@dataclass(frozen=True)
class Services:
    """Where they are, and how to kill and start them.

    `credentials`: the settings by which they let clients in, by their names in the environment.
    """

    kafka_servers: str
    clickhouse_url: str
    kafka: Service
    clickhouse: Service
    credentials: Mapping[str, str] = field(default_factory=dict)


def started_services(folder: Path) -> AbstractAsyncContextManager[Services]:
    """Kafka and ClickHouse until the block ends; the official images when so asked."""
    if os.environ.get("WEIR_TEST_SERVICES") == "docker":
        from tests.containers import container_services

        return container_services(folder)
    return local_services(folder)


@asynccontextmanager
async def local_services(folder: Path) -> AsyncIterator[Services]:
    """Starts both in the folder, on free ports, and stops them at the end."""
    kafka = KafkaService(LocalKafka(folder / "kafka", free_port()), folder / "kafka.log")
    clickhouse = ClickHouseService(folder, free_port(), folder / "clickhouse.log")
    try:
        # One after the other: processes are started from the main thread.
        await clickhouse.start()
        await kafka.start()
        yield Services(kafka.bootstrap_servers, clickhouse.url, kafka, clickhouse)
    finally:
        await kafka.stop()
        await clickhouse.stop()
