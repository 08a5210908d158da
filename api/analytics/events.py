"""`GET /analytics/events`: single events, newest first, page by page."""

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from api.analytics.filters import Bots, Filters, of_events
from api.analytics.ranges import LATEST, epoch_ms, refuse_repeated
from api.analytics.rows import COLUMNS, KEY, OCCURRED, StoredEvent, document_of, stored_event
from api.clickhouse import Row
from api.cursors import FIRST_PAGE, Cursor, next_page_link, parse_cursor
from api.identity.access import access
from api.identity.principal import Role
from api.problems import documented
from api.state import FromClickHouse
from api.tables import CSV_DOCUMENTED, table_response
from schemas.limits import EARLIEST_OCCURRED_AT

router = APIRouter(tags=["analytics"], dependencies=[access(Role.ANALYST)])

# The key (occurred_at, topic, partition, incarnation, offset) read backwards. The cursor is the
# key of the last row shown; the bound on occurred_at beside the tuple lets the index cut the
# range.
EVENTS: Final = """
SELECT %s
FROM events
WHERE occurred_at >= fromUnixTimestamp64Milli({start:Int64})
  AND occurred_at < fromUnixTimestamp64Milli({end:Int64})
  AND occurred_at <= fromUnixTimestamp64Milli({cursor_ms:Int64})
  AND (occurred_at, topic, partition, incarnation, offset) < (
    fromUnixTimestamp64Milli({cursor_ms:Int64}),
    {cursor_topic:String}, {cursor_partition:UInt16},
    {cursor_incarnation:UInt32}, {cursor_offset:UInt64}
  )
  %s
ORDER BY occurred_at DESC, topic DESC, partition DESC, incarnation DESC, offset DESC
LIMIT {limit:UInt32}
"""


class EventsQuestion(Filters):
    """Which events, and which page of them; those of bots too, unless `bots` says otherwise."""

    bots: Annotated[
        Bots, Field(description="Events of known bots: leave them out, in, or alone.")
    ] = "include"
    cursor: Annotated[str | None, Field(description="`next_cursor` of the page before.")] = None
    limit: Annotated[int, Field(ge=1, le=1000, description="How many events a page holds.")] = 50


class EventsPage(BaseModel):
    """A page of events; `next_cursor` is null on the last."""

    items: list[StoredEvent]
    next_cursor: str | None


@router.get(
    "/analytics/events",
    summary="List single events, newest first",
    dependencies=[Depends(refuse_repeated)],
    response_model=EventsPage,
    responses={
        HTTPStatus.OK: CSV_DOCUMENTED,
        **documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
async def list_events(
    request: Request, question: Annotated[EventsQuestion, Query()], clickhouse: FromClickHouse
) -> Response:
    """Events by time of occurrence, newest first. The header `Link` names the next page too."""
    # An empty cursor is refused: as the first page again it would make a client's loop endless.
    cursor = FIRST_PAGE if question.cursor is None else parse_cursor(question.cursor)
    condition = of_events(question)
    rows = await clickhouse.ask(
        EVENTS % (COLUMNS, condition.sql),
        {
            **condition.parameters,
            "start": epoch_ms(question.start, EARLIEST_OCCURRED_AT),
            "end": epoch_ms(question.end, LATEST),
            **cursor.parameters(),
            "limit": question.limit + 1,
        },
    )
    page = rows[: question.limit]
    next_cursor = _cursor_of(page[-1]).text() if len(rows) > len(page) else None
    items = [stored_event(row) for row in page]
    columns = tuple(StoredEvent.model_fields)
    return table_response(
        request,
        {
            "items": [document_of(item) for item in items],
            "next_cursor": next_cursor,
        },
        columns,
        [tuple(item.values()) for item in items],
        headers=next_page_link(request, next_cursor),
    )


def _cursor_of(row: Row) -> Cursor:
    topic, partition, incarnation, offset = row[:KEY]
    return Cursor(
        int(str(row[OCCURRED])),
        str(topic),
        int(str(partition)),
        int(str(incarnation)),
        int(str(offset)),
    )
