"""`GET /analytics/live`: the newest events as they are stored, as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from http import HTTPStatus
from time import monotonic
from typing import Annotated, Final

import orjson
import structlog
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from api.analytics.filters import Bots
from api.analytics.newest import LiveEvent, StoredEvents, Wanted
from api.analytics.positions import Position, parse_position
from api.analytics.ranges import EventType, refuse_repeated
from api.analytics.watchers import LiveRoom, Watcher
from api.head import asked_by_head
from api.identity.access import access
from api.identity.principal import Role
from api.problems import documented
from api.state import Ending, FromClickHouse, FromLiveRoom

log = structlog.get_logger()

router = APIRouter(tags=["analytics"], dependencies=[access(Role.ANALYST)])

KEEP_ALIVE_SECONDS: Final = 15.0
LONGEST_SECONDS: Final = 300
"""A client that still watches then connects again."""
STILL_SECONDS: Final = 60.0
"""So much longer may a reader take that does not read, and keeps others out."""
RESUMED_MS: Final = 600_000
"""Whoever comes back is told what was stored in the meantime, if it is not more than that."""
RETRY_MS: Final = 1000
STALE: Final = "ClickHouse does not answer; what is stored meanwhile is shown when it does"
_CHUNK_BYTES: Final = 65_536


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
    clickhouse: FromClickHouse,
    room: FromLiveRoom,
    ending: Ending,
) -> Response:
    """The newest that are stored, oldest first, then each one as it is stored.

    With `Last-Event-ID` it begins behind that event, of which ten minutes are made up for.
    """
    headers = {"Cache-Control": "private, no-store", "X-Accel-Buffering": "no"}
    if asked_by_head(request):
        return Response(headers=headers, media_type=EventSourceResponse.media_type)
    after = parse_position(request.headers.get("last-event-id", ""))
    return Live(room, StoredEvents(clickhouse), question, after, ending, headers=headers)


class Live(Response):
    """Takes a place in the room, tells what is new, and leaves it however that ends."""

    def __init__(
        self,
        room: LiveRoom,
        stored: StoredEvents,
        question: LiveQuestion,
        after: Position | None,
        ending: asyncio.Event,
        *,
        headers: dict[str, str],
        still_seconds: float = STILL_SECONDS,
    ) -> None:
        super().__init__()
        self._room = room
        self._stored = stored
        self._question = question
        self._after = after
        self._ending = ending
        self._sent = headers
        self._still_seconds = still_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        question = self._question
        wanted = question.wanted()
        async with self._room.watch(wanted, self._after) as watcher:
            first = await self._first(watcher, wanted)
            told = tell(watcher, first, self._ending, seconds=question.seconds)
            try:
                async with asyncio.timeout(question.seconds + self._still_seconds), aclosing(told):
                    await EventSourceResponse(told, headers=self._sent)(scope, receive, send)
            except TimeoutError:
                # Without an end: the server closes the connection.
                log.warning("who watches the newest events does not read them")

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


async def tell(
    watcher: Watcher,
    first: Sequence[bytes],
    ending: asyncio.Event,
    *,
    seconds: float,
    keep_alive: float = KEEP_ALIVE_SECONDS,
) -> AsyncGenerator[bytes, None]:
    """What goes over the wire: what comes first, then what is new, for so many seconds."""
    deadline = monotonic() + seconds
    for chunk in _chunks(first):
        yield chunk
    ended = asyncio.create_task(ending.wait())
    coming = asyncio.create_task(watcher.news())
    try:
        while (left := deadline - monotonic()) > 0:
            await asyncio.wait(
                {coming, ended},
                timeout=min(keep_alive, left),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if ended.done():
                return
            if not coming.done():
                yield KEEPALIVE_COMMENT
                continue
            news = coming.result()
            frames = [
                *([_frame("fresh", {})] if news.fresh else []),
                *_frames(news.skipped, news.events),
                *([_frame("stale", {"detail": STALE})] if news.stale else []),
            ]
            for chunk in _chunks(frames):
                yield chunk
            if news.ended:
                return
            coming = asyncio.create_task(watcher.news())
    finally:
        for each in (ended, coming):
            each.cancel()
        await asyncio.gather(ended, coming, return_exceptions=True)


def _frames(skipped: int, events: Iterable[LiveEvent]) -> list[bytes]:
    told = [each.frame for each in events]
    return [_frame("skipped", {"count": skipped}), *told] if skipped else told


def _frame(name: str, data: object) -> bytes:
    return format_sse_event(event=name, data_str=orjson.dumps(data).decode())


def _chunks(frames: Iterable[bytes]) -> Iterator[bytes]:
    """The frames in pieces of some size: each piece is a write to the socket."""
    chunk = bytearray()
    for frame in frames:
        chunk += frame
        if len(chunk) >= _CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    if chunk:
        yield bytes(chunk)
