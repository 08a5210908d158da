"""Asks ClickHouse: bound parameters only, within a time, 503 when it is away."""

import asyncio
import math
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from time import monotonic
from typing import Final

import aiohttp
import clickhouse_connect
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.binding import bind_query
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from api.problems import Problem, unavailable
from schemas.metrics.edge import QUESTION_DURATION
from schemas.metrics.instruments import histogram
from schemas.migrations import APPLIED_MIGRATIONS, Migration, schema_problem
from schemas.server_problems import REFUSED, refuses
from schemas.servers import ClickHouseSettings
from schemas.tls import client_context
from schemas.tracing import span

Row = Sequence[object]

# Too many queries, timeout, memory: the question is fine, the server is not now.
_OVERLOADED: Final = frozenset({159, 160, 202, 209, 241, 439})
# A server of several cannot be reached, or one is ending: end of file in mid-answer, unknown host,
# no free connection, network, aborted, no try to connect succeeded, cancelled, no shard available.
_ENDING: Final = frozenset({32, 198, 203, 210, 236, 279, 394, 519})
# Unknown database, unknown table, unknown column: migrations are not there (yet).
_NOT_MIGRATED: Final = frozenset({47, 60, 81})
_DATABASE: Final = {"db.system.name": "clickhouse", "db.operation.name": "SELECT"}
_TABLE: Final = re.compile(r"\bFROM\s+([a-z_]+)")
_AWAY: Final = "ClickHouse cannot be reached; ask again"
_REFUSED: Final = (
    "ClickHouse does not let Weir in; whoever runs it checks CLICKHOUSE_URL and CLICKHOUSE_PASSWORD"
)
_UNTRUSTED: Final = (
    "ClickHouse shows a certificate that Weir does not trust; whoever runs it checks "
    "CLICKHOUSE_URL and CLICKHOUSE_CA_FILE"
)
_BROKEN_OFF: Final = "ClickHouse broke off its answer; ask again"

STREAM_RETRY_SECONDS: Final = 10.0
"""When to come again if all streams are taken."""
# The most that is read ahead of a slow reader is about twice as much.
_READ_AHEAD_BYTES: Final = 65_536
# So long may ClickHouse search without a word; how long a reader takes is not counted.
_SILENCE_SECONDS: Final = 300.0
_STREAM_SETTINGS: Final[Mapping[str, str]] = {
    "readonly": "2",
    "cancel_http_readonly_queries_on_client_close": "1",
    # A reader may stop for a while: by default the server cuts it off after 30 seconds.
    "http_send_timeout": f"{_SILENCE_SECONDS:.0f}",
    # An error in mid-answer is told apart by its tag, not written as a row.
    "http_write_exception_in_output_format": "0",
}


class NotMigrated(Problem):
    """503: the tables are not there yet, or not all of them."""

    def __init__(self) -> None:
        super().__init__(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the tables are not there yet; run `weir migrate`",
            retry_after=1.0,
        )


class ClickHouseReader:
    """Questions to ClickHouse over one pool of connections, opened when first needed.

    Times in seconds: `timeout` for a question, `stream_timeout` for a stream with its reader.
    """

    def __init__(
        self,
        settings: ClickHouseSettings,
        *,
        timeout: float,
        stream_timeout: float = 3600.0,
        max_streams: int = 4,
    ) -> None:
        self._settings = settings
        self._timeout = timeout
        self._stream_timeout = stream_timeout
        self._max_streams = max_streams
        self._streams = 0
        self._client: AsyncClient | None = None
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
        if self._session is not None:
            await self._session.close()

    async def ask(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        """The rows of a question. Raises a 503 Problem when ClickHouse cannot answer now."""
        began = monotonic()
        outcome = "answered"
        try:
            return await self._ask(sql, parameters or {})
        except Problem:
            outcome = "unavailable"
            raise
        except Exception:
            outcome = "failed"
            raise
        finally:
            histogram(QUESTION_DURATION, outcome).observe(monotonic() - began)

    async def _ask(self, sql: str, parameters: Mapping[str, object]) -> list[Row]:
        try:
            with span(_summary(sql), "client", _DATABASE):
                async with asyncio.timeout(self._timeout):
                    client = await self._connected()
                    answer = await client.query(sql, parameters=dict(parameters))
                    return list(answer.result_rows)
        except TimeoutError:
            raise unavailable(
                "ClickHouse did not answer in time; ask for a shorter range, or again"
            ) from None
        except DatabaseError as error:
            if (problem := _problem(error.code)) is not None:
                raise problem from None
            # Never the server's own text: it quotes the question with what was bound in it.
            raise DatabaseError(
                f"ClickHouse answered with code {error.code}", code=error.code
            ) from None
        except (ClickHouseError, aiohttp.ClientError, OSError) as error:
            raise unavailable(_UNTRUSTED if refuses(error) else _AWAY) from None

    @asynccontextmanager
    async def stream(
        self,
        sql: str,
        parameters: Mapping[str, object],
        *,
        settings: Mapping[str, str],
        ending: bytes,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of an answer as ClickHouse sends them; read slowly, they are sent slowly.

        The statement names its FORMAT; an answer that is whole is empty or ends with `ending`.
        The query is cancelled when the block is left. Raises a 503 Problem when ClickHouse cannot
        answer or all streams are taken, and in mid-answer when what comes is not all of it.
        """
        if self._streams >= self._max_streams:
            raise unavailable(
                f"{self._max_streams} streams are under way, as many as there may be; "
                "ask again when one of them has ended",
                retry_after=STREAM_RETRY_SECONDS,
            )
        self._streams += 1
        try:
            # A stream may be silent for minutes before its first byte: whether anybody is
            # there is known sooner.
            await self.ask("SELECT 1")
            with span(_summary(sql), "client", _DATABASE):
                async with asyncio.timeout(self._stream_timeout):
                    response = await self._post(sql, parameters, settings)
                    try:
                        await _refuse_error(response)
                        yield _whole(response, ending)
                    finally:
                        # Closing the connection in mid-answer cancels the query.
                        response.close()
        except TimeoutError:
            raise unavailable(
                f"this took longer than {self._stream_timeout:g} seconds; ask for a shorter range"
            ) from None
        except (aiohttp.ClientError, OSError):
            raise unavailable(_BROKEN_OFF) from None
        finally:
            self._streams -= 1

    async def _post(
        self, sql: str, parameters: Mapping[str, object], settings: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        server = self._settings.clickhouse_arguments()
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,
                    ssl=client_context(server["ca_cert"] or "") if server["secure"] else True,
                ),
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=self._timeout, sock_read=_SILENCE_SECONDS
                ),
                read_bufsize=_READ_AHEAD_BYTES,
            )
        _, bound = bind_query(sql, dict(parameters))
        # In a form: a URL could be too long for what filters hold.
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("query", sql)
        for name, value in bound.items():
            form.add_field(name, value)
        return await self._session.post(
            f"{'https' if server['secure'] else 'http'}://{server['host']}:{server['port']}/",
            params={
                "database": self._settings.database,
                "max_execution_time": str(math.ceil(self._stream_timeout)),
                **_STREAM_SETTINGS,
                **settings,
            },
            headers={
                "X-ClickHouse-User": server["username"],
                "X-ClickHouse-Key": server["password"],
                "Accept-Encoding": "identity",
            },
            data=form,
        )

    async def schema_problem(self, expected: tuple[Migration, ...]) -> str | None:
        """What is wrong with the database's migrations, or None. Raises as `ask`."""
        rows = await self.ask(APPLIED_MIGRATIONS)
        return schema_problem({int(str(row[0])): str(row[1]) for row in rows}, expected)

    async def _connected(self) -> AsyncClient:
        async with self._opening:
            if self._client is None:
                self._client = await clickhouse_connect.get_async_client(
                    **self._settings.clickhouse_arguments(),
                    database=self._settings.database,
                    send_receive_timeout=self._timeout,
                    connect_timeout=self._timeout,
                    autogenerate_session_id=False,
                    # In a form: a URL could be too long for the buckets of a series.
                    form_encode_query_params=True,
                    query_retries=0,
                    settings={
                        # What nobody waits for any more ends.
                        "max_execution_time": math.ceil(self._timeout),
                        "cancel_http_readonly_queries_on_client_close": 1,
                        "readonly": 2,
                        # Rows of the rollup are few and heavy: worth sharing among cores.
                        "merge_tree_min_rows_for_concurrent_read": 1_024,
                        "merge_tree_min_bytes_for_concurrent_read": 65_536,
                    },
                )
            return self._client


def _summary(sql: str) -> str:
    """A question's name in traces, which has nothing of what is asked for."""
    table = _TABLE.search(sql)
    return f"SELECT {table[1]}" if table else "SELECT"


def _problem(code: int | None) -> Problem | None:
    """What the edge answers to an error of ClickHouse that is not the edge's own fault."""
    if code in REFUSED:
        return unavailable(_REFUSED)
    if code in _OVERLOADED:
        return unavailable("ClickHouse is overloaded; ask again")
    if code in _ENDING:
        return unavailable("a server of ClickHouse's is away or ending; ask again")
    if code in _NOT_MIGRATED:
        return NotMigrated()
    return unavailable(_AWAY) if code is None else None


async def _refuse_error(response: aiohttp.ClientResponse) -> None:
    if response.status == HTTPStatus.OK:
        return
    text = response.headers.get("X-ClickHouse-Exception-Code", "")
    code = int(text) if text.isdecimal() else None
    # Never the server's own text: it may quote rows.
    raise _problem(code) or DatabaseError(f"ClickHouse answered with code {code}", code=code)


async def _whole(response: aiohttp.ClientResponse, ending: bytes) -> AsyncIterator[bytes]:
    """The pieces of an answer. Raises a 503 Problem where an error stands instead of the rest."""
    tag = response.headers.get("X-ClickHouse-Exception-Tag", "").encode()
    mark = b"__exception__\r\n" + tag
    held = b""
    async for piece in response.content.iter_any():
        held += piece
        if tag and mark in held:
            raise unavailable(_BROKEN_OFF)
        # What is held back may be the beginning of the mark.
        passed = max(0, len(held) - len(mark) + 1)
        if passed:
            yield held[:passed]
        held = held[passed:]
    # Servers that do not tag an error write it behind the rows.
    if not held.endswith(ending) and held:
        raise unavailable(_BROKEN_OFF)
    yield held
