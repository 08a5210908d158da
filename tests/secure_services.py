"""Kafka behind TLS and SASL, ClickHouse behind TLS and a password: the servers of `weir up`, shut.

Nobody gets in without credentials: Kafka's one listener for clients speaks SASL_SSL and Kafka
refuses what no ACL allows; before the embedded ClickHouse, which knows no users, stands a gate.
"""

import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trustme
from cryptography.hazmat.primitives import serialization

from deploy.local.kafka import LocalKafka
from deploy.local.managed_process import ManagedProcess
from deploy.local.ports import LOOPBACK, free_port
from schemas.servers import KafkaSettings
from tests.services import ClickHouseService, KafkaService, Services, accepts, started_services

USER: Final = "weir"


@dataclass(frozen=True)
class Certificates:
    """Of an authority that only this run knows, and of a server on this machine."""

    folder: Path
    authority: trustme.CA = field(default_factory=trustme.CA)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        server = self.authority.issue_cert(LOOPBACK)
        key = serialization.load_pem_private_key(server.private_key_pem.bytes(), password=None)
        # Kafka reads no other form of a key.
        written = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        chain = b"".join(each.bytes() for each in server.cert_chain_pems)
        self.server.touch(0o600)
        self.server.write_bytes(written + chain)
        self.authority.cert_pem.write_to_path(str(self.ca))

    @property
    def ca(self) -> Path:
        """The authority's certificate."""
        return self.folder / "ca.pem"

    @property
    def server(self) -> Path:
        """The server's key and certificate."""
        return self.folder / "server.pem"


def secure_kafka(
    folder: Path, port: int, certificates: Certificates, password: str, mechanism: str
) -> LocalKafka:
    """A broker that lets the user in by either mechanism; `mechanism` is what is asked with."""
    broker = secrets.token_hex(16)
    plain = (
        "org.apache.kafka.common.security.plain.PlainLoginModule required "
        f'username="broker" password="{broker}" user_broker="{broker}"'
    )
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    pem = {"type": "PEM", "location": str(certificates.server)}
    return LocalKafka(
        folder,
        port,
        properties={
            "listener.security.protocol.map": "CLIENTS:SASL_SSL,CONTROLLER:SASL_PLAINTEXT",
            **{f"ssl.keystore.{name}": value for name, value in pem.items()},
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(certificates.ca),
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "sasl.mechanism.controller.protocol": "PLAIN",
            "listener.name.clients.plain.sasl.jaas.config": f'{plain} user_{USER}="{password}";',
            "listener.name.clients.scram-sha-512.sasl.jaas.config": scram,
            "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.controller.plain.sasl.jaas.config": f"{plain};",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:broker;User:{USER}",
        },
        format_options=[
            f"--add-scram=SCRAM-SHA-512=[name={USER},password={password}]",
        ],
        client=KafkaSettings.model_validate(
            {
                "KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{port}",
                "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
                "KAFKA_SASL_MECHANISM": mechanism,
                "KAFKA_SASL_USERNAME": USER,
                "KAFKA_SASL_PASSWORD": password,
                "KAFKA_SSL_CA_FILE": str(certificates.ca),
            }
        ),
    )


@dataclass
class GuardedClickHouse:
    """The embedded ClickHouse and the gate before it; both are there, or none."""

    server: ClickHouseService
    port: int
    certificates: Certificates
    password: str
    log: Path
    gate: ManagedProcess | None = None

    @property
    def url(self) -> str:
        return f"https://{USER}@{LOOPBACK}:{self.port}"

    async def start(self) -> None:
        await self.server.start()
        self.gate = ManagedProcess(
            "clickhouse-gate",
            [sys.executable, "-m", "tests.clickhouse_gate"],
            log=self.log,
            environment={
                "GATE_PORT": str(self.port),
                "GATE_CERTIFICATE": str(self.certificates.server),
                "GATE_USER": USER,
                "GATE_PASSWORD": self.password,
                "GATE_BEHIND": str(self.server.port),
            },
        )
        self.gate.start()
        gate = self.gate
        await accepts(self.port, lambda: gate.running)

    async def kill(self) -> None:
        if self.gate is not None:
            self.gate.kill()
            await self.gate.wait()
        await self.server.kill()

    async def stop(self) -> None:
        if self.gate is not None:
            await self.gate.stop()
        await self.server.stop()


def secure_services(folder: Path) -> AbstractAsyncContextManager[Services]:
    """Both until the block ends; where the official images are asked for, those as they are."""
    if os.environ.get("WEIR_TEST_SERVICES") == "docker":
        return started_services(folder)
    return _secure_services(folder)


@asynccontextmanager
async def _secure_services(folder: Path) -> AsyncIterator[Services]:
    certificates = Certificates(folder / "certificates")
    kafka_password, clickhouse_password = secrets.token_hex(16), secrets.token_hex(16)
    broker = secure_kafka(
        folder / "kafka", free_port(), certificates, kafka_password, "SCRAM-SHA-512"
    )
    kafka = KafkaService(broker, folder / "kafka.log")
    clickhouse = GuardedClickHouse(
        ClickHouseService(folder, free_port(), folder / "clickhouse.log"),
        free_port(),
        certificates,
        clickhouse_password,
        folder / "clickhouse-gate.log",
    )
    try:
        # One after the other: processes are started from the main thread.
        await clickhouse.start()
        await kafka.start()
        yield Services(
            kafka.bootstrap_servers,
            clickhouse.url,
            kafka,
            clickhouse,
            {
                "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
                "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
                "KAFKA_SASL_USERNAME": USER,
                "KAFKA_SASL_PASSWORD": kafka_password,
                "KAFKA_SSL_CA_FILE": str(certificates.ca),
                "CLICKHOUSE_PASSWORD": clickhouse_password,
                "CLICKHOUSE_CA_FILE": str(certificates.ca),
            },
        )
    finally:
        await kafka.stop()
        await clickhouse.stop()
