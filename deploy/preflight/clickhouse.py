"""ClickHouse before a start: whether it can be reached, and has the tables of this version."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from deploy.preflight.checks import Check, Problem
from schemas.migrations import APPLIED_MIGRATIONS, load_migrations, schema_problem
from schemas.migrations.cluster import EVENTS_ENGINE, SHARDS, placement_problem
from schemas.server_problems import clickhouse_problem, code_of, refuses
from schemas.servers import ClickHouseSettings

ANSWER_SECONDS: Final = 10.0
"""How long one look may take."""
_NO_TABLES: Final = frozenset({60, 81})
"""ClickHouse's codes for a table and a database that are not there."""


async def _migrated(settings: ClickHouseSettings) -> Sequence[Problem]:
    try:
        applied = await _applied(settings)
        misplaced = await _misplaced(settings) if applied else None
    except _NotTold as error:
        return [error.problem]
    if misplaced is not None:
        return _of_database(settings, misplaced)
    # Where what is applied fits, another process may be about to apply the rest.
    if (misfit := _misfit(applied)) is not None:
        return _of_database(settings, misfit)
    return _of_database(settings, schema_problem(applied, load_migrations()), passes=True)


async def _migratable(settings: ClickHouseSettings) -> Sequence[Problem]:
    try:
        applied = await _applied(settings)
    except _NotTold as error:
        return [error.problem]
    return _of_database(settings, _misfit(applied))


def _misfit(applied: Mapping[int, str]) -> str | None:
    """What is wrong with what is applied, also when the rest follows."""
    return schema_problem(
        applied, tuple(each for each in load_migrations() if each.version in applied)
    )


def _of_database(
    settings: ClickHouseSettings, problem: str | None, *, passes: bool = False
) -> list[Problem]:
    if problem is None:
        return []
    where = f"ClickHouse at {settings.address}, database {settings.database}"
    return [Problem(f"{where}: {problem}", passes=passes)]


class _NotTold(Exception):
    """ClickHouse does not say what is applied."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


async def _applied(settings: ClickHouseSettings) -> Mapping[int, str]:
    """The applied migrations (version → SHA-256). Raises _NotTold."""
    rows = await _rows(settings, APPLIED_MIGRATIONS)
    return {int(str(version)): str(sha256) for version, sha256 in rows}


async def _misplaced(settings: ClickHouseSettings) -> str | None:
    """Why the tables are not where the settings say. Raises _NotTold."""
    cluster = settings.clickhouse_cluster
    [[engine]] = await _rows(settings, EVENTS_ENGINE)
    shards = 0
    if cluster:
        # Not everybody may ask: only who has a cluster needs the right to.
        [[found]] = await _rows(settings, SHARDS, {"cluster": cluster})
        shards = int(str(found))
    return placement_problem(str(engine), shards, cluster) if engine else None


async def _rows(
    settings: ClickHouseSettings, sql: str, parameters: Mapping[str, object] | None = None
) -> Sequence[Sequence[object]]:
    """The rows of a question; none where there are no tables yet. Raises _NotTold."""
    # A third of a second: only for who asks ClickHouse.
    import clickhouse_connect
    from aiohttp import ClientError
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            client = await clickhouse_connect.get_async_client(
                **settings.clickhouse_arguments(),
                database=settings.database,
                autogenerate_session_id=False,
                query_retries=0,
            )
            try:
                answer = await client.query(sql, parameters=dict(parameters or {}))
            finally:
                await client.close()
    except (ClickHouseError, ClientError, OSError) as error:
        if code_of(error) in _NO_TABLES:
            return []
        problem = Problem(clickhouse_problem(error, settings), passes=not refuses(error))
        raise _NotTold(problem) from None
    rows: Sequence[Sequence[object]] = answer.result_rows
    return rows


TABLES: Final = Check(ClickHouseSettings, _migrated)
MIGRATABLE: Final = Check(ClickHouseSettings, _migratable)
