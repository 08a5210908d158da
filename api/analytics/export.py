"""`GET /analytics/export`: all raw events of a range as a stream, formatted by ClickHouse."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Final, Literal

import structlog
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field
from starlette.types import Receive, Scope, Send

from api.accept import preferred
from api.analytics.filters import Bots, Filters, of_events
from api.analytics.ranges import boundaries_of, refuse_repeated
from api.clickhouse import ClickHouseReader
from api.head import asked_by_head
from api.identity.access import access
from api.identity.principal import Role
from api.problems import Problem, documented, unavailable
from api.state import FromClickHouse

log = structlog.get_logger()

router = APIRouter(tags=["analytics"], dependencies=[access(Role.ANALYST)])

Format = Literal["ndjson", "csv", "parquet"]


@dataclass(frozen=True, slots=True)
class _Written:
    """How a format is written: what is selected, ClickHouse's name, how a whole answer ends."""

    media_type: str
    columns: str
    clickhouse_format: str
    ending: bytes
    settings: Mapping[str, str]


STILL_SECONDS: Final = 60.0
"""So long may a reader take nothing."""

_ABSENT: Final = ("user_id", "visitor_id", "source")
_TIMES: Final = ("occurred_at", "received_at")
_VISIT: Final = ("device", "browser", "os", "referrer", "country", "status", "method", "route")
COLUMNS: Final = (
    *("event_id", "event_type", "path", *_ABSENT, *_TIMES),
    *("bot", *_VISIT, "metadata"),
)


def _rfc3339(column: str) -> str:
    return f"concat(replaceOne(toString({column}), ' ', 'T'), 'Z')"


def _json(column: str) -> str:
    """The column's value as JSON text."""
    if column in _ABSENT:
        return f"if({column} = '', 'null', toJSONString({column}))"
    if column in _TIMES:
        return f"""'"', {_rfc3339(column)}, '"'"""
    match column:
        case "event_id":
            return "'\"', toString(event_id), '\"'"
        case "bot":
            return "if(bot, 'true', 'false')"
        case "metadata":
            # The text as it was sent. Line breaks can only stand between its tokens.
            return "translate(metadata, '\\r\\n', '  ')"
        case _:
            return f"toJSONString({column})"


def _named(expressions: Mapping[str, str]) -> str:
    return ", ".join(f"{expressions.get(column, column)} AS {column}" for column in COLUMNS)


_NDJSON_LINE: Final = ", ',', ".join(f"'\"{column}\":', {_json(column)}" for column in COLUMNS)

_FORMATS: Final[Mapping[Format, _Written]] = {
    "ndjson": _Written(
        media_type="application/x-ndjson",
        columns=f"concat('{{', {_NDJSON_LINE}, '}}')",
        clickhouse_format="TSVRaw",
        ending=b"}\n",
        settings={"output_format_json_escape_forward_slashes": "0"},
    ),
    "csv": _Written(
        media_type="text/csv",
        columns=_named({column: _rfc3339(column) for column in _TIMES}),
        clickhouse_format="CSVWithNames",
        ending=b'"\r\n',
        settings={"output_format_csv_crlf_end_of_line": "1"},
    ),
    "parquet": _Written(
        media_type="application/vnd.apache.parquet",
        columns=_named(
            {
                "event_id": "toString(event_id)",
                **{column: f"nullIf(toString({column}), '')" for column in _ABSENT},
            }
        ),
        clickhouse_format="Parquet",
        ending=b"PAR1",
        settings={
            "output_format_parquet_compression_method": "zstd",
            # A row group is in ClickHouse's memory until it is whole.
            "output_format_parquet_row_group_size": "100000",
            "output_format_parquet_row_group_size_bytes": "33554432",
        },
    ),
}
_SETTINGS: Final[Mapping[str, str]] = {
    # Columns are named as those of the table; conditions and order are about the table's.
    "prefer_column_name_to_alias": "1",
    # The order is that of the primary key: read as it lies, nothing is sorted.
    "optimize_read_in_order": "1",
    # Blocks wait in ClickHouse for a slow reader: small ones take a third of the memory.
    "max_block_size": "8192",
    "date_time_output_format": "simple",
}

EXPORT: Final = """
SELECT {columns}
FROM events
WHERE occurred_at >= fromUnixTimestamp64Milli({{start:Int64}})
  AND occurred_at < fromUnixTimestamp64Milli({{end:Int64}})
  {condition}
ORDER BY occurred_at, topic, partition, incarnation, offset
FORMAT {format}
"""


class ExportQuestion(Filters):
    """Which events, all of them; those of bots too, unless `bots` says otherwise."""

    bots: Annotated[
        Bots, Field(description="Events of known bots: leave them out, in, or alone.")
    ] = "include"
    format: Annotated[
        Format | None,
        Field(description="How they are written; absent: as `Accept` says, else NDJSON."),
    ] = None


@router.get(
    "/analytics/export",
    summary="Export raw events as a stream, oldest first",
    dependencies=[Depends(refuse_repeated)],
    response_class=Response,
    responses={
        HTTPStatus.OK: {
            "description": (
                "NDJSON (an event a line), CSV (UTF-8, with a header line) or Parquet. An answer "
                "that breaks off, without the end of its chunked encoding, is not whole."
            ),
            "content": {
                each.media_type: {"schema": {"type": "string"}} for each in _FORMATS.values()
            },
        },
        **documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
async def export_events(
    request: Request, question: Annotated[ExportQuestion, Query()], clickhouse: FromClickHouse
) -> Response:
    """Events by time of occurrence, as they lie in ClickHouse when the export begins.

    503 with `Retry-After` when as many exports are under way as there may be.
    """
    media_types = {each.media_type: name for name, each in _FORMATS.items()}
    chosen = question.format or media_types[preferred(request, tuple(media_types))]
    headers = {
        "Content-Type": _FORMATS[chosen].media_type,
        "Content-Disposition": f'attachment; filename="{_file_name(question, chosen)}"',
        "Vary": "Accept",
    }
    if chosen == "csv":
        headers["Content-Type"] += "; charset=utf-8; header=present"
    return Export(clickhouse, question, _FORMATS[chosen], headers, empty=asked_by_head(request))


def _file_name(question: ExportQuestion, extension: Format) -> str:
    def day(moment: datetime | None, preposition: str) -> str:
        return f"{preposition}{moment.astimezone(UTC):%Y-%m-%d}" if moment else ""

    bounded = question.start and question.end
    start = day(question.start, "-" if bounded else "-from-")
    return f"weir-events{start}{day(question.end, '-' if bounded else '-to-')}.{extension}"


class Export(Response):
    """Hands ClickHouse's bytes on as fast as the client reads; ends the query when it leaves."""

    def __init__(
        self,
        clickhouse: ClickHouseReader,
        question: ExportQuestion,
        written: _Written,
        headers: Mapping[str, str],
        *,
        empty: bool,
    ) -> None:
        super().__init__(headers=headers)
        # How long it will be is not known.
        del self.headers["content-length"]
        self._clickhouse = clickhouse
        self._question = question
        self._written = written
        self._empty = empty

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        exporting = asyncio.ensure_future(self._export(send))
        left = asyncio.ensure_future(_until_left(receive))
        try:
            await asyncio.wait({exporting, left}, return_when=asyncio.FIRST_COMPLETED)
            if exporting.done():
                exporting.result()
        finally:
            exporting.cancel()
            left.cancel()
            await asyncio.gather(exporting, left, return_exceptions=True)

    async def _export(self, send: Send) -> None:
        if self._empty:
            await self._begin(send)
            await send({"type": "http.response.body", "body": b""})
            return
        condition = of_events(self._question)
        start, end = boundaries_of(self._question)
        sql = EXPORT.format(
            columns=self._written.columns,
            condition=condition.sql,
            format=self._written.clickhouse_format,
        )
        begun = False
        try:
            async with self._clickhouse.stream(
                sql,
                {**condition.parameters, "start": start, "end": end},
                settings={**_SETTINGS, **self._written.settings},
                ending=self._written.ending,
            ) as pieces:
                async for piece in pieces:
                    if not begun:
                        begun = True
                        await self._begin(send)
                    await _passed_on(send, piece)
        except Problem as problem:
            if not begun:
                raise
            # Without the last chunk: the server closes the connection in mid-answer, and no
            # client takes what it has for whole.
            log.warning("export broken off", reason=problem.detail)
        else:
            await send({"type": "http.response.body", "body": b""})

    async def _begin(self, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": HTTPStatus.OK.value,
                "headers": self.raw_headers,
            }
        )


async def _passed_on(send: Send, piece: bytes) -> None:
    """Hands a piece to the reader. Raises a Problem when it stands still, keeping others out."""
    try:
        async with asyncio.timeout(STILL_SECONDS):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except TimeoutError:
        raise unavailable(f"the reader took nothing for {STILL_SECONDS:.0f} seconds") from None


async def _until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
