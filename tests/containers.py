"""Kafka and ClickHouse for tests as their official images, where a Docker engine runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from testcontainers.core.container import DockerContainer

from deploy.local.kafka import LocalKafka
from deploy.local.ports import LOOPBACK, free_port
from tests.services import Services, answers_pings

KAFKA_IMAGE = "apache/kafka:4.3.1"
CLICKHOUSE_IMAGE = "clickhouse/clickhouse-server:26.9"


@dataclass
class ContainerService:
    """A container that can be killed and started again on its data; its port stays."""

    container: DockerContainer
    ready: Callable[[], Awaitable[None]]
    created: bool = False

    async def start(self) -> None:
        if self.created:
            await asyncio.to_thread(self.container.get_wrapped_container().start)
        else:
            await asyncio.to_thread(self.container.start)
            self.created = True
        await self.ready()

    async def kill(self) -> None:
        await asyncio.to_thread(self.container.get_wrapped_container().kill)

    async def stop(self) -> None:
        if self.created:
            await asyncio.to_thread(self.container.stop)


def _kafka(folder: Path, port: int) -> ContainerService:
    container = DockerContainer(KAFKA_IMAGE).with_bind_ports(port, port)
    for name, value in {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": f"PLAINTEXT://0.0.0.0:{port},CONTROLLER://127.0.0.1:29093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{LOOPBACK}:{port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@127.0.0.1:29093",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_MESSAGE_MAX_BYTES": "2097152",
        "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_BROKER_SESSION_TIMEOUT_MS": "2000",
    }.items():
        container.with_env(name, value)
    return ContainerService(container, LocalKafka(folder, port).wait_ready)


def _clickhouse(port: int) -> ContainerService:
    container = DockerContainer(CLICKHOUSE_IMAGE).with_bind_ports(8123, port)
    container.with_env("CLICKHOUSE_SKIP_USER_SETUP", "1")
    return ContainerService(container, lambda: answers_pings(f"http://{LOOPBACK}:{port}"))


@asynccontextmanager
async def container_services(folder: Path) -> AsyncIterator[Services]:
    """Starts both images on free ports and removes them at the end."""
    kafka_port, clickhouse_port = free_port(), free_port()
    kafka, clickhouse = _kafka(folder, kafka_port), _clickhouse(clickhouse_port)
    try:
        await asyncio.gather(kafka.start(), clickhouse.start())
        yield Services(
            f"{LOOPBACK}:{kafka_port}", f"http://{LOOPBACK}:{clickhouse_port}", kafka, clickhouse
        )
    finally:
        await kafka.stop()
        await clickhouse.stop()
