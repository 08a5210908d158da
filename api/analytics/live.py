"""`GET /analytics/live`: the newest events as they are stored, as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from http import HTTPStatus
from typing import Annotated, Final

import orjson
import structlog
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.sse import EventSourceResponse, format_sse_event
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from api.analytics.filters import Bots
from api.analytics.newest import LiveEvent, StoredEvents, Wanted
from api.analytics.positions import Position
from api.analytics.ranges import EventType, refuse_repeated
from api.analytics.watchers import LiveRoom, Watcher
from api.head import asked_by_head
from api.identity.access import access
from api.identity.principal import Role
from api.problems import documented
from api.server_events import (
    HEADERS,
    KEEP_ALIVE_SECONDS,
    LONGEST_SECONDS,
    RETRY_MS,
    Ends,
    LastEventId,
    StreamEnds,
    kept_alive,
)
from api.state import FromLiveRoom, FromStoredEvents

log = structlog.get_logger()

router = APIRouter(tags=["analytics"], dependencies=[access(Role.ANALYST)])

STILL_SECONDS: Final = 60.0
"""So much longer may a reader take that does not read, and keeps others out."""
HURRY_SECONDS: Final = 1.0
"""The same when the API ends: it cancels what goes on for longer, with a traceback for each."""
RESUMED_MS: Final = 600_000
"""Whoever comes back is told what was stored in the meantime, if it is not more than that."""
STALE: Final = "ClickHouse does not answer; what is stored meanwhile is shown when it does"


class LiveQuestion(BaseModel):
    """Which events, and how many at the beginning."""

    model_config = ConfigDict(extra="forbid")

    event_type: Annotated[
        EventType | None,
        Field(description="Only events of this type; absent: all.", examples=["page_view"]),
    ] = None
    bots: Annotated[
        Bots, Field(description="Events of known bots: leave them out, in, or alone.")
    ] = "include"
    limit: Annotated[
        int, Field(ge=0, le=100, description="How many of those that are there come first.")
    ] = 20
    seconds: Annotated[
        int,
        Field(
            ge=0,
            le=LONGEST_SECONDS,
            description="How long it goes on; 0: only what is there.",
        ),
    ] = LONGEST_SECONDS

    def wanted(self) -> Wanted:
        return Wanted(self.event_type, self.bots)


@router.get(
    "/analytics/live",
    summary="Watch the newest events",
    dependencies=[Depends(refuse_repeated)],
    response_class=Response,
    responses={
        HTTPStatus.OK.value: {
            "description": "Events `event` (the document of `GET /analytics/events`), `skipped` "
            "with a `count` of events that are left out, `stale` with a `detail` while "
            "ClickHouse is away, and `fresh` when it is back.",
            "content": {"text/event-stream": {"schema": {"title": "Events"}}},
        },
        **documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
async def watch_events(
    request: Request,
    question: Annotated[LiveQuestion, Query()],
    stored: FromStoredEvents,
    room: FromLiveRoom,
    ends: StreamEnds,
    last_event_id: LastEventId = "",
) -> Response:
    """The newest that are stored, oldest first, then each one as it is stored.

    With `Last-Event-ID` it begins behind that event, of which ten minutes are made up for.
    """
    if asked_by_head(request):
        return Response(headers=HEADERS, media_type=EventSourceResponse.media_type)
    return Live(room, stored, question, stored.position(last_event_id), ends)


class Live(Response):
    """Takes a place in the room, tells what is new, and leaves it however that ends."""

    def __init__(
        self,
        room: LiveRoom,
        stored: StoredEvents,
        question: LiveQuestion,
        after: Position | None,
        ends: Ends,
        *,
        headers: Mapping[str, str] = HEADERS,
        still_seconds: float = STILL_SECONDS,
        hurry_seconds: float = HURRY_SECONDS,
    ) -> None:
        super().__init__()
        self._room = room
        self._stored = stored
        self._question = question
        self._after = after
        self._ends = ends
        self._sent = headers
        self._still_seconds = still_seconds
        self._hurry_seconds = hurry_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        question = self._question
        wanted = question.wanted()
        async with self._room.watch(wanted, self._after) as watcher:
            first = await self._first(watcher, wanted)
            told = tell(watcher, first, self._ends, seconds=question.seconds)
            try:
                async with (
                    asyncio.timeout(question.seconds + self._still_seconds) as limit,
                    aclosing(told),
                ):
                    hurried = asyncio.create_task(self._hurry(limit))
                    try:
                        await EventSourceResponse(told, headers=self._sent)(scope, receive, send)
                    finally:
                        hurried.cancel()
            except TimeoutError:
                # Without an end: the server closes the connection.
                if not self._ends.ending.is_set():
                    log.warning("who watches the newest events does not read them")

    async def _hurry(self, limit: asyncio.Timeout) -> None:
        await self._ends.ending.wait()
        if not limit.expired():
            limit.reschedule(asyncio.get_running_loop().time() + self._hurry_seconds)

    async def _first(self, watcher: Watcher, wanted: Wanted) -> list[bytes]:
        """What comes before what the watcher is told."""
        after = self._after
        if after is not None and watcher.start.newest_ms - after.newest_ms <= RESUMED_MS:
            batch = await self._stored.since(after, watcher.start)
            skipped, events = batch.told_to(wanted)
        else:
            skipped = 0
            events = await self._stored.newest(watcher.start, self._question.limit, wanted)
        # Without an event there is nothing else to resume by.
        identity = None if events else watcher.start.text()
        return [format_sse_event(retry=RETRY_MS, id=identity), *_frames(skipped, events)]


def tell(
    watcher: Watcher,
    first: Sequence[bytes],
    ends: Ends,
    *,
    seconds: float,
    keep_alive: float = KEEP_ALIVE_SECONDS,
) -> AsyncGenerator[bytes, None]:
    """What goes over the wire: what comes first, then what is new, for so many seconds."""
    return kept_alive(_told(watcher), ends, first=first, seconds=seconds, keep_alive=keep_alive)


async def _told(watcher: Watcher) -> AsyncGenerator[list[bytes], None]:
    ended = False
    while not ended:
        news = await watcher.news()
        yield [
            *([_frame("fresh", {})] if news.fresh else []),
            *_frames(news.skipped, news.events),
            *([_frame("stale", {"detail": STALE})] if news.stale else []),
        ]
        ended = news.ended


def _frames(skipped: int, events: Iterable[LiveEvent]) -> list[bytes]:
    told = [each.frame for each in events]
    return [_frame("skipped", {"count": skipped}), *told] if skipped else told


def _frame(name: str, data: object) -> bytes:
    return format_sse_event(event=name, data_str=orjson.dumps(data).decode())
