"""Asks ClickHouse: bound parameters only, within a time, 503 when it is away."""

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

import aiohttp
import clickhouse_connect
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from api.problems import Problem, unavailable
from schemas.migrations import APPLIED_MIGRATIONS, Migration, schema_problem
from schemas.servers import ClickHouseSettings

Row = Sequence[object]

# Too many queries, timeout, memory: the question is fine, the server is not now.
_OVERLOADED: Final = frozenset({159, 160, 202, 209, 241, 439})
# Unknown database, unknown table, unknown column: migrations are not there (yet).
_NOT_MIGRATED: Final = frozenset({47, 60, 81})


class NotMigrated(Problem):
    """503: the tables are not there yet, or not all of them."""

    def __init__(self) -> None:
        super().__init__(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the tables are not there yet; run `weir migrate`",
            retry_after=1.0,
        )


class ClickHouseReader:
    """Questions to ClickHouse over one pool of connections, opened when first needed."""

    def __init__(self, settings: ClickHouseSettings, *, timeout: float) -> None:
        self._settings = settings
        self._timeout = timeout
        self._client: AsyncClient | None = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def ask(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        """The rows of a question. Raises a 503 Problem when ClickHouse cannot answer now."""
        try:
            async with asyncio.timeout(self._timeout):
                client = await self._connected()
                answer = await client.query(sql, parameters=dict(parameters or {}))
                return list(answer.result_rows)
        except TimeoutError:
            raise unavailable(
                "ClickHouse did not answer in time; ask for a shorter range, or again"
            ) from None
        except DatabaseError as error:
            if error.code in _OVERLOADED:
                raise unavailable("ClickHouse is overloaded; ask again") from None
            if error.code in _NOT_MIGRATED:
                raise NotMigrated from None
            if error.code is None:
                raise unavailable("ClickHouse cannot be reached; ask again") from None
            raise
        except (ClickHouseError, aiohttp.ClientError, OSError):
            raise unavailable("ClickHouse cannot be reached; ask again") from None

    async def schema_problem(self, expected: tuple[Migration, ...]) -> str | None:
        """What is wrong with the database's migrations, or None. Raises as `ask`."""
        rows = await self.ask(APPLIED_MIGRATIONS)
        return schema_problem({int(str(row[0])): str(row[1]) for row in rows}, expected)

    async def _connected(self) -> AsyncClient:
        async with self._opening:
            if self._client is None:
                self._client = await clickhouse_connect.get_async_client(
                    **self._settings.client_arguments(),
                    database=self._settings.database,
                    send_receive_timeout=self._timeout,
                    connect_timeout=self._timeout,
                    autogenerate_session_id=False,
                    query_retries=0,
                )
            return self._client
