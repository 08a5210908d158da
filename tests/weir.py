"""A Weir for one test: its own topics, group and database, its processes as users start them."""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition
from clickhouse_connect import get_client

from deploy.local.managed_process import ManagedProcess
from deploy.local.ports import free_port
from deploy.migrate import apply_migrations
from deploy.topics import create_topics
from schemas.servers import ClickHouseSettings, KafkaSettings
from schemas.topics import TOPICS, Topic
from streams.group.process import EX_TEMPFAIL
from tests.forked_process import process_of
from tests.services import Services

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.25
"""Seconds between two looks at a condition, the longer the longer it is waited for."""

# Answers are JSON of any shape; tests look into them.
Json = Any


class Kept:
    """A worker that is started again, as `weir up` does."""

    def __init__(self, process: ManagedProcess) -> None:
        self.process = process
        self.keeping: asyncio.Task[None] | None = None

    def kill(self) -> None:
        """Kills it where it is; another one follows."""
        self.process.kill()

    async def stop(self) -> None:
        """Stops it for good, and holds that it ends by itself."""
        if self.keeping is not None:
            self.keeping.cancel()
        self.process.terminate()
        assert await self.process.stop(15) in (0, EX_TEMPFAIL)


class Weir:
    """Addresses and processes of one test's Weir."""

    def __init__(self, services: Services, folder: Path, name: str) -> None:
        self.services = services
        self.folder = folder
        self.name = name
        self.environment = {
            "KAFKA_BOOTSTRAP_SERVERS": services.kafka_servers,
            "CLICKHOUSE_URL": f"{services.clickhouse_url}/{name}",
            **services.credentials,
            "WEIR_TOPIC_PREFIX": f"{name}.",
            "WEIR_SINK_GROUP": name,
            "WEIR_SINK_SESSION_TIMEOUT": "3",
            "WEIR_QUOTAS_GROUP": f"{name}-quotas",
            "WEIR_SOCIAL_GROUP": f"{name}-social",
            "WEIR_BILLING_GROUP": f"{name}-billing",
            "WEIR_DATA_DIR": str(folder / "data"),
            # Tests count messages and questions: only those of heartbeats have them.
            "WEIR_HEARTBEAT_SECONDS": "0",
            "WEIR_AUTH": "local",
            "WEIR_JWT_SECRET": secrets.token_hex(32),
        }
        self.processes: list[ManagedProcess] = []
        self._kept: list[Kept] = []
        self.url = ""
        self.session = aiohttp.ClientSession()

    @property
    def kafka(self) -> KafkaSettings:
        return KafkaSettings.model_validate(self.environment)

    @property
    def clickhouse(self) -> ClickHouseSettings:
        return ClickHouseSettings.model_validate(self.environment)

    @property
    def librdkafka(self) -> dict[str, str]:
        """The properties with which clients built on librdkafka reach Kafka."""
        server = self.kafka.client_arguments()
        properties = {
            "bootstrap.servers": server["bootstrap_servers"],
            "security.protocol": server["security_protocol"],
        }
        if server["sasl_plain_username"]:
            properties |= {
                "sasl.mechanism": server["sasl_mechanism"],
                "sasl.username": server["sasl_plain_username"],
                "sasl.password": server["sasl_plain_password"] or "",
            }
        if self.kafka.ssl_ca_file:
            properties["ssl.ca.location"] = self.kafka.ssl_ca_file
        return properties

    @property
    def kcat_options(self) -> list[str]:
        """The same as kcat's options.

        By PLAIN, which the secure Kafka takes too: librdkafka before 2.6.1, which distributions
        build kcat with, cannot prove a password by SCRAM to Kafka 4 (edenhill/kcat#462).
        """
        properties = self.librdkafka
        if "sasl.mechanism" in properties:
            properties["sasl.mechanism"] = "PLAIN"
        return [word for pair in properties.items() for word in ("-X", "=".join(pair))]

    def topic(self, name: str) -> str:
        return self.kafka.topic(name)

    async def prepare(self) -> None:
        """Creates topics and tables."""
        await create_topics(self.kafka, lambda _: None)
        await asyncio.to_thread(apply_migrations, self.clickhouse, lambda _: None)

    def process(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> ManagedProcess:
        """A process with this Weir's environment, started; stopped at the test's end."""
        number = len(self.processes)
        name = f"{number}-{command[-1].replace('/', '_')}"
        process = process_of(
            name,
            command,
            log=self.folder / f"{name}.log",
            environment={**self.environment, **(environment or {})},
        )
        process.start()
        self.processes.append(process)
        return process

    def start_sink(self, environment: Mapping[str, str] | None = None) -> ManagedProcess:
        return self.process(["-m", "deploy.commands", "sink"], environment)

    def start_quotas(self, environment: Mapping[str, str] | None = None) -> ManagedProcess:
        return self.process(["-m", "deploy.commands", "quotas"], environment)

    def start_social(self, environment: Mapping[str, str] | None = None) -> ManagedProcess:
        return self.process(["-m", "deploy.commands", "social"], environment)

    def start_billing(self, environment: Mapping[str, str] | None = None) -> ManagedProcess:
        return self.process(["-m", "deploy.commands", "billing"], environment)

    async def keep(self, start: Callable[[], ManagedProcess]) -> "Kept":
        """Starts a worker, and again when it asks for it or was killed; returns when ready."""
        kept = Kept(start())

        async def keep() -> None:
            while await kept.process.wait() in (EX_TEMPFAIL, -signal.SIGKILL):
                kept.process = start()

        async def ready() -> bool:
            return any("worker ready" in line for line in kept.process.last_lines())

        # From the start: on a Kafka that is slow it may ask to be started again at once.
        kept.keeping = asyncio.create_task(keep())
        self._kept.append(kept)
        await self.eventually(ready, within=120)
        return kept

    async def start_api(self, environment: Mapping[str, str] | None = None) -> ManagedProcess:
        """Starts the API on a free port and waits until it is ready."""
        process = self.launch_api(environment)
        await self.eventually(self.api_ready, process=process)
        return process

    def launch_api(self, environment: Mapping[str, str] | None = None) -> ManagedProcess:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        return self.process(
            ["-m", "deploy.commands", "api"],
            {"WEIR_API_PORT": str(port), **(environment or {})},
        )

    def launch_edge_alone(self, environment: Mapping[str, str]) -> ManagedProcess:
        """The API without the look that `weir api` takes before: also while a server is away."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        edge = "from api.serving import serve; from api.settings import ApiSettings"
        return self.process(
            ["-c", f"{edge}; serve(ApiSettings())", "edge"],
            {"WEIR_API_PORT": str(port), **environment},
        )

    async def api_ready(self) -> bool:
        try:
            status, _ = await self.get("/readyz")
        except aiohttp.ClientError:
            return False
        return status == 200

    async def decides(self) -> bool:
        """Whether a quotas worker answers; asked as the user `demo`."""
        status, _ = await self.get("/api/user/plan")
        return status == 200

    async def eventually(
        self,
        condition: Callable[[], Awaitable[bool]],
        *,
        within: float = 60,
        process: ManagedProcess | None = None,
    ) -> None:
        """Waits until the condition holds; fails after so many seconds, or when a process ends."""
        began = monotonic()
        while not await condition():
            if process is not None and not process.running:
                raise AssertionError("\n".join(process.last_lines()))
            waited = monotonic() - began
            if waited > within:
                logs = "\n".join(
                    "\n".join(["--- " + each.name, *each.last_lines(10)]) for each in self.processes
                )
                raise AssertionError(f"not within {within} s\n{logs}")
            # Who asks all the time takes the processor from what is waited for.
            await asyncio.sleep(min(max(FIRST_PAUSE, waited / 8), LONGEST_PAUSE))

    async def get(self, path: str, **parameters: str | int) -> tuple[int, Json]:
        """Status and JSON of a GET."""
        async with self.session.get(self.url + path, params=parameters) as answer:
            return answer.status, await answer.json(content_type=None)

    async def post(self, path: str, document: Json) -> tuple[int, Json]:
        """Status and JSON of a POST."""
        async with self.session.post(self.url + path, json=document) as answer:
            return answer.status, await answer.json(content_type=None)

    async def summary(self, **parameters: str | int) -> dict[str, int]:
        """Path → count, bots included unless asked for otherwise."""
        asked: dict[str, str | int] = {"limit": 10_000, "bots": "include", **parameters}
        status, document = await self.get("/analytics/summary", **asked)
        assert status == 200, document
        return {item["path"]: item["count"] for item in document["items"]}

    def query(self, sql: str, **parameters: object) -> list[tuple[Any, ...]]:
        """Rows straight from ClickHouse."""
        settings = self.clickhouse
        with get_client(**settings.clickhouse_arguments(), database=settings.database) as client:
            return [tuple(row) for row in client.query(sql, parameters=parameters).result_rows]

    async def produce(
        self,
        topic: str,
        messages: Sequence[tuple[bytes | None, bytes | None]],
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Writes messages (key, value) to a topic of the registry as any producer would."""
        producer = AIOKafkaProducer(**self.kafka.client_arguments(), enable_idempotence=True)
        await producer.start()
        try:
            sent = [
                await producer.send(self.topic(topic), key=key, value=value, headers=list(headers))
                for key, value in messages
            ]
            await asyncio.gather(*sent)
        finally:
            await producer.stop()

    def terminate_all(self) -> None:
        """Asks every process to end, for good."""
        for kept in self._kept:
            if kept.keeping is not None:
                kept.keeping.cancel()
        for process in self.processes:
            process.terminate()

    async def close(self) -> None:
        self.terminate_all()
        for process in self.processes:
            await process.stop(15)
        await self.session.close()
        await self._drop()

    async def drop_topics(self) -> None:
        """Deletes the topics with all that lies on them, and returns when they are gone."""
        admin = AIOKafkaAdminClient(**self.kafka.client_arguments())
        await admin.start()
        try:
            names = [self.topic(topic.name) for topic in TOPICS]
            await admin.delete_topics(names)

            async def gone() -> bool:
                return not set(names) & set(await admin.list_topics())

            await self.eventually(gone)
        finally:
            await admin.close()

    async def _drop(self) -> None:
        await self.drop_topics()
        with get_client(**self.clickhouse.clickhouse_arguments()) as client:
            client.command(f"DROP DATABASE IF EXISTS {self.name}")


@asynccontextmanager
async def throwaway_weir(
    services: Services, folder: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Weir]:
    """A Weir with topics and tables, and nothing running yet; all of it gone at the end."""
    weir = Weir(services, folder, f"test_{uuid4().hex[:12]}")
    weir.environment.update(environment or {})
    try:
        await weir.prepare()
        yield weir
    finally:
        await weir.close()


async def all_taken(weir: Weir) -> bool:
    """Whether the sink's group has committed all that lies on its topics."""
    topics = [topic for topic in TOPICS if "sink" in topic.read_by]
    try:
        return await lag_of(weir, weir.environment["WEIR_SINK_GROUP"], topics) == 0
    except KafkaError:
        return False


async def lag_of(weir: Weir, group: str, topics: Sequence[Topic]) -> int:
    """How many messages of these topics the group has not committed. Raises KafkaError."""
    admin = AIOKafkaAdminClient(**weir.kafka.client_arguments())
    consumer = AIOKafkaConsumer(**weir.kafka.client_arguments())
    await admin.start()
    try:
        await consumer.start()
        partitions = [
            TopicPartition(weir.topic(topic.name), number)
            for topic in topics
            for number in range(topic.partitions)
        ]
        # Before the ends: what is written between counts as lag, and lag of one partition is not
        # made up for by another.
        committed = await admin.list_consumer_group_offsets(group, partitions=partitions)
        ends = await consumer.end_offsets(partitions)
        return sum(
            max(0, ends[each] - (max(0, committed[each].offset) if each in committed else 0))
            for each in partitions
        )
    finally:
        await consumer.stop()
        await admin.close()
