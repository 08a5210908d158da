"""What a process refuses to start with: one message, exit code 78, and nothing else."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

import pytest
import pytest_asyncio
from aiohttp import web
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from clickhouse_connect import get_client

from deploy.local.ports import free_port
from schemas.migrations import load_migrations
from schemas.topics import PAGE_VIEWS, QUOTA_COMMANDS
from tests.services import Services
from tests.weir import Weir, throwaway_weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]

PROCESSES: Final = ("api", "sink", "quotas", "social", "billing", "migrate", "topics")
ASK_KAFKA: Final = frozenset({"api", "sink", "quotas", "social", "billing", "topics"})
NEED_TOPICS: Final = ASK_KAFKA - {"topics"}
ASK_CLICKHOUSE: Final = frozenset({"api", "sink", "migrate"})
NEED_TABLES: Final = ASK_CLICKHOUSE - {"migrate"}
SECRET: Final = "planted-password"


@dataclass(frozen=True)
class Ended:
    """A process that has ended, and the lines below its heading."""

    code: int
    heading: str
    problems: list[str]
    output: str


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def prepared(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Weir]:
    """A Weir with topics and tables that no test changes."""
    async with throwaway_weir(services, tmp_path_factory.mktemp("prepared")) as own:
        yield own


async def run(weir: Weir, command: str, environment: Mapping[str, str]) -> Ended:
    """Runs a command to its end, with a Stripe key, and waits for nothing unless told."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.commands", command),
        cwd=weir.folder,
        env={
            **os.environ,
            **weir.environment,
            "WEIR_START_TIMEOUT": "0",
            "STRIPE_API_KEY": "rk_test_0",
            **environment,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), 200)
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode is not None
    assert SECRET not in output.decode() + errors.decode()
    heading, *problems = errors.decode().splitlines() or [""]
    assert "Traceback" not in errors.decode()
    assert all(each.startswith("  ") for each in problems), errors.decode()
    stripped = [each.strip() for each in problems]
    return Ended(process.returncode, heading, stripped, output.decode())


async def refused(
    weir: Weir, environment: Mapping[str, str], expected: Mapping[str, Sequence[str]]
) -> None:
    """Each command ends with 78 and says exactly this; `weir check` says all of it, in its words.

    `expected`: command → a piece of each line, in the order of the lines.
    """
    checked, *ended = await asyncio.gather(
        *(run(weir, command, environment) for command in ("check", *expected))
    )
    assert checked.code == 78
    assert checked.heading == "Weir cannot start:"
    assert len(set(checked.problems)) == len(checked.problems)
    for (command, pieces), each in zip(expected.items(), ended, strict=True):
        assert each.code == 78, each
        assert each.heading == f"weir {command} cannot start:"
        assert len(each.problems) == len(pieces), each.problems
        for piece, problem in zip(pieces, each.problems, strict=True):
            assert piece in problem
        assert [one for one in checked.problems if one in each.problems] == each.problems


def by_all(commands: Iterable[str], *pieces: str) -> dict[str, Sequence[str]]:
    return dict.fromkeys(sorted(commands), pieces)


def nobody() -> str:
    """An address on which nobody listens."""
    return f"127.0.0.1:{free_port()}"


async def test_check_is_content_with_what_is_there(prepared: Weir) -> None:
    ended = await run(prepared, "check", {})
    assert (ended.code, ended.heading) == (0, "")
    assert "well" in ended.output


async def test_an_unknown_setting(prepared: Weir) -> None:
    said = "WEIR_SINK_BATCH_ROW is not a setting of Weir; did you mean WEIR_SINK_BATCH_ROWS?"
    environment = {"WEIR_SINK_BATCH_ROW": SECRET, "WEIR_SINK_LINGER": "0.1"}
    await refused(prepared, environment, by_all(PROCESSES, said))


async def test_problems_of_all_kinds_at_once(prepared: Weir) -> None:
    kafka, clickhouse = nobody(), nobody()
    environment = {
        "WEIR_NOTHING": "1",
        "WEIR_START_TIMEOUT": "soon",
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "CLICKHOUSE_URL": f"http://{clickhouse}/weir",
    }
    said = ("WEIR_START_TIMEOUT: ", "WEIR_NOTHING is not a setting of Weir; take it away")
    away = (f"Kafka at {kafka} cannot be", f"ClickHouse at {clickhouse} cannot be")
    await refused(
        prepared,
        environment,
        {
            command: (
                *said,
                *(away[:1] if command in ASK_KAFKA else ()),
                *(away[1:] if command in ASK_CLICKHOUSE else ()),
            )
            for command in PROCESSES
        },
    )


async def test_what_kubernetes_sets_for_a_service(prepared: Weir) -> None:
    environment = {
        "WEIR_API_PORT": "tcp://10.0.0.1:8000",
        "WEIR_API_PORT_8000_TCP_ADDR": "10.0.0.1",
        "WEIR_API_SERVICE_HOST": "10.0.0.1",
        "WEIR_API_SERVICE_PORT_HTTP": "8000",
    }
    said = (
        "WEIR_API_PORT, WEIR_API_PORT_8000_TCP_ADDR, WEIR_API_SERVICE_HOST, "
        "WEIR_API_SERVICE_PORT_HTTP: looks like what Kubernetes sets for a Service; set "
        "enableServiceLinks: false"
    )
    await refused(prepared, environment, by_all(("api", "sink", "migrate"), said))


URL: Final = f"ftp://user:{SECRET}@host"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (
            {"WEIR_AUTH": "required", "WEIR_JWT_SECRET": "", "WEIR_OIDC_CLIENT_ID": "weir"},
            {"api": ["WEIR_OIDC_CLIENT_ID: signing in needs both", "WEIR_AUTH: required needs"]},
        ),
        (
            {
                "WEIR_API_HOST": "0.0.0.0",  # noqa: S104
                "WEIR_JWKS_URL": "https://login.example.com/keys",
            },
            {"api": ["WEIR_JWKS_URL: is set beside WEIR_JWT_SECRET", "WEIR_AUTH: local lets"]},
        ),
        ({"CLICKHOUSE_URL": URL}, by_all(ASK_CLICKHOUSE, "CLICKHOUSE_URL: must look like")),
        (
            {
                "WEIR_SINK_GROUP": "",
                "WEIR_SINK_LINGER": "-1",
                "WEIR_QUOTAS_STANDBYS": "-1",
                "WEIR_MEDIA_URL": f"s3://user:{SECRET}@bucket",
                "WEIR_BILLING_IN_FLIGHT": "0",
            },
            {
                "api": ["WEIR_MEDIA_URL: must hold no credentials"],
                "sink": ["WEIR_SINK_GROUP: ", "WEIR_SINK_LINGER: "],
                "quotas": ["WEIR_QUOTAS_STANDBYS: "],
                "social": ["WEIR_MEDIA_URL: must hold no credentials"],
                "billing": ["WEIR_BILLING_IN_FLIGHT: "],
            },
        ),
        (
            {"KAFKA_BOOTSTRAP_SERVERS": "kafka.example.com:nine"},
            by_all(ASK_KAFKA, "KAFKA_BOOTSTRAP_SERVERS: must look like host:9092,host:9092"),
        ),
        ({"WEIR_TOPIC_REPLICATION": "0"}, by_all(["topics"], "WEIR_TOPIC_REPLICATION: ")),
        (
            {
                "WEIR_PLANS_FILE": "no-plans.toml",
                "WEIR_METERS_FILE": "no-meters.toml",
                "WEIR_PAGES_DIR": "no-pages",
                "WEIR_MEDIA_URL": "file:///dev/null/pictures",
            },
            {
                "api": ["no-plans.toml: ", "no-meters.toml: ", "check WEIR_MEDIA_URL", "no-pages"],
                "quotas": ["no-plans.toml: cannot be read"],
                "social": ["pictures cannot be stored in /dev/null/pictures (/dev/null is no "],
                "billing": ["no-plans.toml: cannot be read", "no-meters.toml: cannot be read"],
            },
        ),
    ],
    ids=["missing", "contradictory", "ClickHouse", "wrong", "Kafka", "topics", "files"],
)
async def test_settings_that_are_missing_wrong_or_contradict_each_other(
    prepared: Weir, environment: dict[str, str], expected: dict[str, Sequence[str]]
) -> None:
    await refused(prepared, environment, expected)


async def test_billing_without_a_key_says_that_nothing_is_lost(prepared: Weir) -> None:
    ended = await run(prepared, "billing", {"STRIPE_API_KEY": ""})
    assert ended.code == 78
    [problem] = ended.problems
    assert "STRIPE_API_KEY" in problem
    assert "nothing is lost" in problem
    assert (await run(prepared, "check", {"STRIPE_API_KEY": ""})).code == 0


async def test_kafka_that_cannot_be_reached(prepared: Weir) -> None:
    kafka = nobody()
    said = f"Kafka at {kafka} cannot be reached"
    await refused(prepared, {"KAFKA_BOOTSTRAP_SERVERS": kafka}, by_all(ASK_KAFKA, said))


async def test_clickhouse_that_cannot_be_reached(prepared: Weir) -> None:
    clickhouse = nobody()
    environment = {"CLICKHOUSE_URL": f"http://user:{SECRET}@{clickhouse}/weir"}
    said = f"ClickHouse at {clickhouse} cannot be reached"
    await refused(prepared, environment, by_all(ASK_CLICKHOUSE, said))


@asynccontextmanager
async def refusing_clickhouse() -> AsyncIterator[str]:
    """Answers as ClickHouse does to a wrong password. The embedded one has no users."""

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(
            status=403,
            headers={"X-ClickHouse-Exception-Code": "516"},
            text="Code: 516. DB::Exception: user: Authentication failed: password is incorrect, "
            "or there is no user with such name. (AUTHENTICATION_FAILED)",
        )

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", refuse)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_wrong_password_of_clickhouse_is_not_waited_for(prepared: Weir) -> None:
    kafka = nobody()
    async with refusing_clickhouse() as address:
        environment = {
            "CLICKHOUSE_URL": f"http://user:{SECRET}@{address}/weir",
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "WEIR_START_TIMEOUT": "600",
        }
        away = f"Kafka at {kafka} cannot be reached"
        wrong = f"ClickHouse at {address} refused the credentials"
        await refused(
            prepared, environment, {"migrate": [wrong], **by_all(("api", "sink"), away, wrong)}
        )


def statement(weir: Weir, sql: str) -> None:
    with get_client(
        **weir.clickhouse.clickhouse_arguments(), database=weir.clickhouse.database
    ) as client:
        client.command(sql)


async def test_an_old_schema_a_newer_one_and_one_of_another_version(weir: Weir) -> None:
    database = f"database {weir.name}: "
    newest = load_migrations()[-1].version
    await asyncio.to_thread(
        statement, weir, f"ALTER TABLE schema_migrations DELETE WHERE version = {newest}"
    )
    old = f"{database}migration {newest:04} is not applied; run `weir migrate`"
    await refused(weir, {}, by_all(NEED_TABLES, old))
    await asyncio.to_thread(
        statement,
        weir,
        "INSERT INTO schema_migrations (version, name, sha256) VALUES (9999, 'of_tomorrow', 'ab')",
    )
    newer = f"{database}migration 9999 is applied and not known here; run the newer version"
    await refused(weir, {"WEIR_START_TIMEOUT": "600"}, by_all(ASK_CLICKHOUSE, newer))
    await asyncio.to_thread(statement, weir, "DROP TABLE schema_migrations")
    none = f"{database}migration 0001 is not applied; run `weir migrate`"
    await refused(weir, {}, by_all(NEED_TABLES, none))


async def with_admin(weir: Weir, work: Callable[[AIOKafkaAdminClient], Awaitable[object]]) -> None:
    admin = AIOKafkaAdminClient(**weir.kafka.client_arguments())
    await admin.start()
    try:
        await work(admin)
    finally:
        await admin.close()


async def test_topics_that_are_missing_or_differ(weir: Weir) -> None:
    views, commands = weir.topic(PAGE_VIEWS.name), weir.topic(QUOTA_COMMANDS.name)

    async def delete(admin: AIOKafkaAdminClient) -> None:
        await admin.delete_topics([views, commands])

        async def gone() -> bool:
            return not {views, commands} & set(await admin.list_topics())

        await weir.eventually(gone)

    await with_admin(weir, delete)
    missing = f"topics are missing: {views}, {commands}; run `weir topics`"
    await refused(weir, {}, by_all(NEED_TOPICS, missing))
    none = "has none of Weir's topics (nowhere."
    await refused(weir, {"WEIR_TOPIC_PREFIX": "nowhere."}, {"quotas": [none]})

    async def create(admin: AIOKafkaAdminClient) -> None:
        stamped = {"message.timestamp.type": "CreateTime"}
        await admin.create_topics(
            [
                NewTopic(views, PAGE_VIEWS.partitions, 1, topic_configs=stamped),
                NewTopic(commands, 1, 1, topic_configs=QUOTA_COMMANDS.configuration()),
            ]
        )

        async def there() -> bool:
            return {views, commands} <= set(await admin.list_topics())

        await weir.eventually(there)

    await with_admin(weir, create)
    wrong = (
        f"topic {views} has message.timestamp.type=CreateTime, not LogAppendTime; change it back",
        f"topic {commands} has 1 partitions, not {QUOTA_COMMANDS.partitions}: ",
    )
    await refused(weir, {"WEIR_START_TIMEOUT": "600"}, by_all(NEED_TOPICS, *wrong))
    ended = await run(weir, "topics", {})
    assert ended.code == 78
    assert ended.heading == "weir topics: Kafka is not as the registry says:"
    assert all(any(each in line for line in ended.problems) for each in wrong)


async def test_another_retention_keeps_nobody_from_starting(weir: Weir) -> None:
    name = weir.topic(PAGE_VIEWS.name)
    longer = {**PAGE_VIEWS.configuration(), "retention.ms": str(2 * PAGE_VIEWS.retention_ms)}

    async def alter(admin: AIOKafkaAdminClient) -> None:
        resource = ConfigResource(ConfigResourceType.TOPIC, name, configs=longer)
        await admin.alter_configs([resource])

    await with_admin(weir, alter)
    said = f"topic {name} has retention.ms={longer['retention.ms']}, not {PAGE_VIEWS.retention_ms}"
    ended = await run(weir, "check", {})
    assert ended.code == 78
    assert ended.problems == [f"{said}; change it back"]
    # A step before an upgrade, which it must not stop.
    ended = await run(weir, "topics", {})
    assert ended.code == 0
    assert (ended.heading, ended.problems) == (f"weir topics: {said}; change it back", [])
    sink = weir.start_sink({"WEIR_START_TIMEOUT": "0"})

    async def ready() -> bool:
        return any("sink ready" in line for line in sink.last_lines())

    await weir.eventually(ready, process=sink)


async def test_topics_that_kafka_does_not_create(services: Services, tmp_path: Path) -> None:
    weir = Weir(services, tmp_path, "test_never_made")
    try:
        ended = await run(weir, "topics", {"WEIR_TOPIC_REPLICATION": "3"})
    finally:
        await weir.session.close()
    assert ended.code == 78
    [problem] = ended.problems
    assert "test_never_made.page-views" in problem
    assert "InvalidReplicationFactorError" in problem


@pytest.mark.parametrize(("signal_name", "stopped"), [("SIGTERM", 143), ("SIGINT", 130)])
@pytest.mark.parametrize("command", ["api", "migrate"])
async def test_a_wait_ends_at_once_without_a_word(
    prepared: Weir, command: str, signal_name: str, stopped: int
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.commands", command),
        cwd=prepared.folder,
        env={
            **os.environ,
            **prepared.environment,
            "KAFKA_BOOTSTRAP_SERVERS": nobody(),
            "CLICKHOUSE_URL": f"http://{nobody()}/weir",
            "WEIR_API_PORT": str(free_port()),
            "PYTHONUNBUFFERED": "1",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    waits = await asyncio.wait_for(process.stdout.readline(), 60)
    assert b"waits up to 60 s" in waits
    began = monotonic()
    process.send_signal(signal.Signals[signal_name])
    _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert monotonic() - began < 5
    assert errors == b""
    assert process.returncode == (stopped if command == "migrate" else 0)
