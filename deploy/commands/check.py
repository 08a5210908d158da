"""`weir check`: whether settings, Kafka, ClickHouse and tables fit, without starting anything."""

import asyncio
import os
from typing import TYPE_CHECKING

import typer

from schemas.settings import EX_CONFIG, InvalidSettings, read_settings

if TYPE_CHECKING:
    from schemas.servers import ClickHouseSettings, KafkaSettings


def check() -> None:
    """Check settings, Kafka with its topics, and ClickHouse with its tables; starts nothing.

    \b
    Ends with
      0    all is well
      1    a server cannot be reached, lacks topics or tables, or a running sink is not ready
      78   settings cannot be used
    """
    from api.settings import ApiSettings
    from deploy.local.identity import identity_made_here
    from streams.sink.settings import SinkSettings

    class AllSettings(ApiSettings, SinkSettings):
        """Of every process at once, so that all problems are said at once."""

    # Beside a Weir that `weir up` runs, its settings are those to check.
    os.environ.update(identity_made_here())
    try:
        settings = read_settings(AllSettings)
    except InvalidSettings as error:
        typer.echo(f"These settings cannot be used:\n{error}", err=True)
        raise typer.Exit(EX_CONFIG) from None
    problems = [
        asyncio.run(_kafka_problem(settings)),
        _clickhouse_problem(settings),
        asyncio.run(_sink_problem(settings.health_host, settings.health_port)),
    ]
    for problem in filter(None, problems):
        typer.echo(problem, err=True)
    if any(problems):
        raise typer.Exit(1)
    typer.echo("settings, Kafka, topics, ClickHouse and tables are well")


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


async def _sink_problem(host: str, port: int) -> str | None:
    """What a running sink says keeps it from its work; None when none runs that can be asked."""
    import aiohttp

    from deploy.local.settings import LocalSettings

    # Of `weir up` the sink has a port also where none is set.
    port = port or int(LocalSettings.model_fields["sink_port"].default)
    timeout = aiohttp.ClientTimeout(total=5)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"http://{host}:{port}/readyz") as answer,
        ):
            document = await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
    if isinstance(document, dict) and isinstance(document.get("not_ready"), dict):
        return "\n".join(f"sink: {problem}" for problem in document["not_ready"].values())
    return None


def _clickhouse_problem(settings: "ClickHouseSettings") -> str | None:
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

    from schemas.migrations import APPLIED_MIGRATIONS, load_migrations, schema_problem

    try:
        with clickhouse_connect.get_client(
            **settings.client_arguments(), database=settings.database, connect_timeout=3
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
