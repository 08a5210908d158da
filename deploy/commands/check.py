"""`weir check`: whether settings, Kafka, ClickHouse and tables fit, without starting anything."""

import asyncio
import os
from typing import TYPE_CHECKING, Protocol

import typer

from schemas.settings import EX_CONFIG, InvalidSettings, Settings, read_settings

if TYPE_CHECKING:
    from schemas.servers import ClickHouseSettings, KafkaSettings


class _Answering(Protocol):
    """The settings of a worker that says whether it is ready."""

    @property
    def health_host(self) -> str: ...
    @property
    def health_port(self) -> int: ...


def check() -> None:
    """Check settings, Kafka with its topics, and ClickHouse with its tables; starts nothing.

    \b
    Ends with
      0    all is well
      1    a server cannot be reached, lacks topics or tables, or a running worker is not ready
      78   settings cannot be used
    """
    from api.settings import ApiSettings
    from deploy.local.identity import identity_made_here
    from streams.billing.settings import BillingSettings
    from streams.quotas.settings import QuotasSettings
    from streams.sink.settings import SinkSettings
    from streams.social.settings import SocialSettings

    # Beside a Weir that `weir up` runs, its settings are those to check.
    os.environ.update(identity_made_here())
    _refuse_unusable(ApiSettings, SinkSettings, QuotasSettings, SocialSettings, BillingSettings)
    settings = read_settings(ApiSettings)
    workers: dict[str, _Answering] = {
        "sink": read_settings(SinkSettings),
        "quotas": read_settings(QuotasSettings),
        "social": read_settings(SocialSettings),
        "billing": read_settings(BillingSettings),
    }
    problems = [
        asyncio.run(_kafka_problem(settings)),
        _clickhouse_problem(settings),
        *(asyncio.run(_worker_problem(name, each)) for name, each in workers.items()),
    ]
    for problem in filter(None, problems):
        typer.echo(problem, err=True)
    if any(problems):
        raise typer.Exit(1)
    typer.echo("settings, Kafka, topics, ClickHouse and tables are well")


def _refuse_unusable(*kinds: type[Settings]) -> None:
    """Says everything that is wrong with the settings of all these processes, and exits with 78."""
    wrong: dict[str, None] = {}
    for kind in kinds:
        try:
            read_settings(kind)
        except InvalidSettings as error:
            wrong |= dict.fromkeys(str(error).splitlines())
    if wrong:
        typer.echo("\n".join(["These settings cannot be used:", *wrong]), err=True)
        raise typer.Exit(EX_CONFIG)


async def _kafka_problem(settings: "KafkaSettings") -> str | None:
    from aiokafka.errors import KafkaError

    from deploy.topics import topic_problems

    try:
        problems = await topic_problems(settings)
    except KafkaError as error:
        return (
            f"Kafka at {settings.bootstrap_servers} cannot be reached ({type(error).__name__}); "
            "check KAFKA_BOOTSTRAP_SERVERS or WEIR_KAFKA_PORT"
        )
    return "\n".join(problems) or None


async def _worker_problem(name: str, settings: _Answering) -> str | None:
    """What a running worker says keeps it from its work; None when none runs that can be asked."""
    import aiohttp

    from deploy.local.settings import LocalSettings

    # Of `weir up` it has a port also where none is set.
    port = settings.health_port or int(LocalSettings.model_fields[f"{name}_port"].default)
    timeout = aiohttp.ClientTimeout(total=5)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"http://{settings.health_host}:{port}/readyz") as answer,
        ):
            document = await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
    if isinstance(document, dict) and isinstance(document.get("not_ready"), dict):
        return "\n".join(f"{name}: {problem}" for problem in document["not_ready"].values())
    return None


def _clickhouse_problem(settings: "ClickHouseSettings") -> str | None:
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

    from schemas.migrations import APPLIED_MIGRATIONS, load_migrations, schema_problem

    try:
        with clickhouse_connect.get_client(
            **settings.clickhouse_arguments(), database=settings.database, connect_timeout=3
        ) as client:
            rows = client.query(APPLIED_MIGRATIONS).result_rows
    except DatabaseError as error:
        if error.code is None:
            return _unreachable(settings)
        return (
            f"ClickHouse at {settings.address} has no tables of Weir in database "
            f"{settings.database} (code {error.code}); run `weir migrate`"
        )
    except ClickHouseError:
        return _unreachable(settings)
    applied = {int(version): str(sha256) for version, sha256 in rows}
    return schema_problem(applied, load_migrations())


def _unreachable(settings: "ClickHouseSettings") -> str:
    return (
        f"ClickHouse at {settings.address} cannot be reached; "
        "check CLICKHOUSE_URL or WEIR_CLICKHOUSE_PORT"
    )
