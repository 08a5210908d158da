"""`GET /analytics/events`: single events, newest first, page by page."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field, JsonValue

from api.analytics.ranges import LATEST, Path, Range, User, epoch_ms, refuse_repeated
from api.clickhouse import Row
from api.problems import documented, field_problem
from api.state import FromClickHouse
from schemas.decoding import canonical_time
from schemas.limits import EARLIEST_OCCURRED_AT

router = APIRouter(tags=["analytics"])

# The key (occurred_at, topic, partition, incarnation, offset) read backwards. The cursor is the
# key of the last row shown; the bound on occurred_at beside the tuple lets the index cut the
# range.
EVENTS: Final = """
SELECT
    toString(event_id), event_type, path, user_id, visitor_id, source,
    toUnixTimestamp64Milli(occurred_at), toUnixTimestamp64Milli(received_at),
    metadata, topic, partition, incarnation, offset
FROM events
WHERE occurred_at >= fromUnixTimestamp64Milli({start:Int64})
  AND occurred_at < fromUnixTimestamp64Milli({end:Int64})
  AND occurred_at <= fromUnixTimestamp64Milli({cursor_ms:Int64})
  AND (occurred_at, topic, partition, incarnation, offset) < (
    fromUnixTimestamp64Milli({cursor_ms:Int64}),
    {cursor_topic:String}, {cursor_partition:UInt16},
    {cursor_incarnation:UInt32}, {cursor_offset:UInt64}
  )
  AND ({event_type:String} = '' OR event_type = {event_type:String})
  AND ({path:String} = '' OR path = {path:String})
  AND ({user_id:String} = '' OR user_id = {user_id:String})
ORDER BY occurred_at DESC, topic DESC, partition DESC, incarnation DESC, offset DESC
LIMIT {limit:UInt32}
"""


MAX_CURSOR_CHARACTERS: Final = 512


class EventsQuestion(Range):
    """Which events, and which page of them."""

    path: Annotated[Path | None, Field(description="Only events of this path.")] = None
    user_id: Annotated[User | None, Field(description="Only events of this user.")] = None
    cursor: Annotated[str | None, Field(description="`next_cursor` of the page before.")] = None
    limit: Annotated[int, Field(ge=1, le=1000, description="How many events a page holds.")] = 50


class StoredEvent(BaseModel):
    """An event as it was sent, and when Kafka had it."""

    event_id: str
    event_type: str
    path: str
    user_id: str | None
    visitor_id: str | None
    source: str | None
    occurred_at: datetime
    received_at: datetime
    metadata: dict[str, JsonValue]


class EventsPage(BaseModel):
    """A page of events; `next_cursor` is null on the last."""

    items: list[StoredEvent]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Cursor:
    """The key of the last event of a page."""

    occurred_ms: int
    topic: str
    partition: int
    incarnation: int
    offset: int

    def text(self) -> str:
        return urlsafe_b64encode(orjson.dumps(astuple(self))).decode().rstrip("=")


# Behind every event: the first page starts here. "~" sorts after every topic's name.
_FIRST_PAGE: Final = Cursor(epoch_ms(LATEST, LATEST), "~", 0, 0, 0)


def parse_cursor(text: str) -> Cursor:
    """The cursor of a page. Raises a 422 Problem for one that this API did not make."""
    padded = text + "=" * (-len(text) % 4)
    try:
        match orjson.loads(urlsafe_b64decode(padded[:MAX_CURSOR_CHARACTERS])):
            case [
                int() as ms,
                str() as topic,
                int() as partition,
                int() as incarnation,
                int() as offset,
            ] if (
                bool not in {type(ms), type(partition), type(incarnation), type(offset)}
                and 0 <= ms <= _FIRST_PAGE.occurred_ms
                and 0 <= partition < 1 << 16
                and 0 <= incarnation < 1 << 32
                and 0 <= offset < 1 << 63
            ):
                return Cursor(ms, topic, partition, incarnation, offset)
    except (orjson.JSONDecodeError, Base64Error, ValueError):
        pass
    raise field_problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "cursor",
        "cursor is not one of ours; take next_cursor from the page before, or leave it out",
    )


@router.get(
    "/analytics/events",
    summary="List single events, newest first",
    dependencies=[Depends(refuse_repeated)],
    response_model=EventsPage,
    responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
)
async def list_events(
    question: Annotated[EventsQuestion, Query()], clickhouse: FromClickHouse
) -> Response:
    """Events by time of occurrence, newest first."""
    # An empty cursor is refused: as the first page again it would make a client's loop endless.
    cursor = _FIRST_PAGE if question.cursor is None else parse_cursor(question.cursor)
    rows = await clickhouse.ask(
        EVENTS,
        {
            "start": epoch_ms(question.start, EARLIEST_OCCURRED_AT),
            "end": epoch_ms(question.end, LATEST),
            "cursor_ms": cursor.occurred_ms,
            "cursor_topic": cursor.topic,
            "cursor_partition": cursor.partition,
            "cursor_incarnation": cursor.incarnation,
            "cursor_offset": cursor.offset,
            "event_type": question.event_type or "",
            "path": question.path or "",
            "user_id": question.user_id or "",
            "limit": question.limit + 1,
        },
    )
    page = rows[: question.limit]
    document = {
        "items": [_stored_event(row) for row in page],
        "next_cursor": _cursor_of(page[-1]).text() if len(rows) > len(page) else None,
    }
    return Response(orjson.dumps(document), media_type="application/json")


def _cursor_of(row: Row) -> Cursor:
    return Cursor(
        int(str(row[6])), str(row[9]), int(str(row[10])), int(str(row[11])), int(str(row[12]))
    )


def _stored_event(row: Row) -> dict[str, object]:
    event_id, event_type, path, user_id, visitor_id, source, occurred, received, metadata = row[:9]
    return {
        "event_id": event_id,
        "event_type": event_type,
        "path": path,
        "user_id": user_id or None,
        "visitor_id": visitor_id or None,
        "source": source or None,
        "occurred_at": _time(occurred),
        "received_at": _time(received),
        # The text as it was sent: numbers keep all their digits.
        "metadata": orjson.Fragment(str(metadata)),
    }


def _time(ms: object) -> str:
    return canonical_time(datetime.fromtimestamp(int(str(ms)) / 1000, UTC))
