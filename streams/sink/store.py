"""ClickHouse as the sink needs it: inserts under a token, questions about ids."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from time import monotonic
from typing import Final

import aiohttp
import clickhouse_connect
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.migrations.cluster import SHARDS, local
from schemas.server_problems import clickhouse_problem, code_of
from schemas.servers import ClickHouseSettings
from streams.failures import Overloaded, Retryable

# Too many parts, memory, too many queries, timeouts: it works, but not so fast.
_OVERLOADED: Final = frozenset({159, 160, 202, 209, 241, 252, 439})

ANSWERED_SECONDS: Final = 10.0
PROBE_SECONDS: Final = 2.0

INSERT_SETTINGS: Final[dict[str, object]] = {
    # Tables that views fill remember the batch too, each in its own window.
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "deduplicate_insert": "enable",
    "async_insert": 0,
    # Late events of many years in one batch are no error.
    "max_partitions_per_insert_block": 0,
    # One batch is one block: the token stands for all of it.
    "max_insert_block_size": 1_000_000,
    # So is what the views make of it, which may be more rows than the batch has.
    "min_insert_block_size_rows": 1_000_000_000,
    "min_insert_block_size_bytes": 100_000_000_000,
    "min_insert_block_size_rows_for_materialized_views": 1_000_000_000,
    "min_insert_block_size_bytes_for_materialized_views": 100_000_000_000,
    "input_format_parallel_parsing": 0,
}


KNOWN_IDS: Final = "known_ids"


class ClickHouseStore:
    """One pool of connections; every failure leaves it as Retryable or Overloaded."""

    def __init__(self, settings: ClickHouseSettings, *, insert_timeout: float) -> None:
        self._settings = settings
        self._timeout = insert_timeout
        self._client: AsyncClient | None = None
        self._opening = asyncio.Lock()
        self._answered_at: float | None = None
        self._shards = 0

    @property
    def known_ids(self) -> str:
        """Where ids are known, in SQL: in a cluster on every replica of every shard."""
        cluster = self._settings.clickhouse_cluster
        if not cluster:
            return KNOWN_IDS
        return f"clusterAllReplicas('{cluster}', '{self._settings.database}', '{local(KNOWN_IDS)}')"

    def shard_of(self, partition: int) -> int:
        """The shard, from 1, to which a partition's batches go; 0: there is one server."""
        return partition % self._shards + 1 if self._shards else 0

    async def learn_shards(self) -> None:
        """How many shards there are, before batches are placed. Raises Retryable or Overloaded."""
        if cluster := self._settings.clickhouse_cluster:
            [[shards]] = await self.rows(SHARDS, {"cluster": cluster})
            self._shards = int(str(shards))

    async def problem(self) -> str | None:
        """Why ClickHouse cannot be used, or None; it is asked unless it answered a moment ago."""
        if self._answered_at is not None and monotonic() - self._answered_at < ANSWERED_SECONDS:
            return None
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self.rows("SELECT 1", {})
        except TimeoutError:
            return f"ClickHouse did not answer within {PROBE_SECONDS:g} s"
        except (Retryable, Overloaded) as failure:
            return str(failure)
        return None

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def insert(
        self, table: str, columns: Sequence[str], rows: bytes, token: str, shard: int = 0
    ) -> None:
        """Inserts rows (JSONCompactEachRow) under a token; the same token again does nothing.

        `shard`: of a cluster, from 1. It remembers the token for itself.
        """
        client = await self._connected()
        try:
            async with asyncio.timeout(self._timeout):
                await client.raw_insert(
                    table,
                    column_names=columns,
                    insert_block=rows,
                    settings=self.insert_settings(token) | _placed(shard),
                    fmt="JSONCompactEachRow",
                )
            self._answered_at = monotonic()
        except (ClickHouseError, aiohttp.ClientError, OSError) as error:
            raise self._failure(error) from error

    def insert_settings(self, token: str) -> dict[str, object]:
        return {**INSERT_SETTINGS, "insert_deduplication_token": token}

    async def rows(self, sql: str, parameters: Mapping[str, object]) -> Sequence[Sequence[object]]:
        """The rows of a question with bound parameters."""
        client = await self._connected()
        try:
            answer = await client.query(sql, parameters=dict(parameters))
        except (ClickHouseError, aiohttp.ClientError, OSError) as error:
            raise self._failure(error) from error
        self._answered_at = monotonic()
        rows: Sequence[Sequence[object]] = answer.result_rows
        return rows

    async def row_binary(self, sql: str, parameters: Mapping[str, object]) -> AsyncIterator[bytes]:
        """The answer's bytes in RowBinary, piece by piece as the server sends them."""
        client = await self._connected()
        try:
            async with await client.raw_stream(
                sql, parameters=dict(parameters), fmt="RowBinary"
            ) as stream:
                async for piece in stream:
                    yield piece
        except (ClickHouseError, aiohttp.ClientError, OSError) as error:
            raise self._failure(error) from error

    async def _connected(self) -> AsyncClient:
        async with self._opening:
            if self._client is None:
                try:
                    self._client = await clickhouse_connect.get_async_client(
                        **self._settings.clickhouse_arguments(),
                        database=self._settings.database,
                        send_receive_timeout=self._timeout,
                        compress=False,
                        autogenerate_session_id=False,
                        form_encode_query_params=True,
                        query_retries=0,
                    )
                except (ClickHouseError, aiohttp.ClientError, OSError) as error:
                    raise self._failure(error) from error
            return self._client

    def _failure(self, error: Exception) -> Retryable | Overloaded:
        kind = Overloaded if code_of(error) in _OVERLOADED else Retryable
        return kind(clickhouse_problem(error, self._settings))


def _placed(shard: int) -> dict[str, object]:
    """As settings of an insert: the whole block to one shard, which has it when this succeeds.

    Tables that are whole on every server pass over it.
    """
    return {"insert_shard_id": shard, "distributed_foreground_insert": 1} if shard else {}
