"""`GET /social/posts/{post_id}/events`: a post as it is made, as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from http import HTTPStatus
from time import monotonic
from typing import Final

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from api.identity.access import Asking, access
from api.identity.principal import Role
from api.problems import documented
from api.social.board import PostBoard, PostState
from api.social.documents import base_url_of, image_url, post_document
from api.social.new_post import POSTS
from api.social.posts import PostId, found_post
from api.state import Ending, FromBoard, FromClickHouse, WaitsForPosts

router = APIRouter(tags=["social"], dependencies=[access(Role.USER)])

KEEP_ALIVE_SECONDS: Final = 15.0
LONGEST_SECONDS: Final = 300.0
"""A client that still waits then connects again."""
RETRY_MS: Final = 1000
END: Final = "end"
"""The id of the last event."""


@router.get(
    f"{POSTS}/{{post_id}}/events",
    summary="Follow a post while it is made",
    response_class=Response,
    responses={
        HTTPStatus.OK.value: {
            "description": "Events `state`, `caption`, `picture`, and at the end `done` or "
            "`failed` with the post's document.",
            "content": {"text/event-stream": {"schema": {"title": "Events"}}},
        },
        HTTPStatus.NO_CONTENT.value: {
            "description": "The last event was seen: `Last-Event-ID` is its id."
        },
        **documented(
            HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE
        ),
    },
)
async def follow_post(
    request: Request,
    post_id: PostId,
    asking: Asking,
    clickhouse: FromClickHouse,
    board: FromBoard,
    waits: WaitsForPosts,
    ending: Ending,
) -> Response:
    """What there is comes first, then each change; it ends with the post, or after 5 minutes."""
    base_url = base_url_of(request, waits.public_url)
    if request.headers.get("last-event-id") == END:
        # A browser's EventSource connects again after every end, until it is told not to.
        return Response(status_code=HTTPStatus.NO_CONTENT)
    state = await found_post(board, clickhouse, asking.subject, post_id)
    if state.result is None and state.options is not None:
        board.queued(asking.subject, post_id, state.options, state.requested_at or waits.clock())
    if state.result is not None:
        events = _ended(state, base_url)
    else:
        events = _followed(board, state, base_url, ending)
    return EventSourceResponse(
        events, headers={"Cache-Control": "private, no-store", "X-Accel-Buffering": "no"}
    )


async def _ended(state: PostState, base_url: str) -> AsyncIterator[bytes]:
    for event in _events(PostState(state.post_id, state.user_id), state, base_url):
        yield event


async def _followed(
    board: PostBoard, first: PostState, base_url: str, ending: asyncio.Event
) -> AsyncIterator[bytes]:
    yield format_sse_event(retry=RETRY_MS)
    told = PostState(first.post_id, first.user_id)
    yield _event("state", {"id": str(told.post_id), "state": first.state})
    told = PostState(first.post_id, first.user_id, state=first.state)
    deadline = monotonic() + LONGEST_SECONDS
    states = board.watch(first.user_id, first.post_id)
    ended = asyncio.create_task(ending.wait())
    coming: asyncio.Task[PostState | None] | None = None
    try:
        while monotonic() < deadline:
            coming = coming or asyncio.create_task(_next(states))
            await asyncio.wait(
                {coming, ended}, timeout=KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if ended.done():
                return
            if not coming.done():
                yield KEEPALIVE_COMMENT
                continue
            state, coming = coming.result(), None
            if state is None:
                return
            for event in _events(told, state, base_url):
                yield event
            told = state
    finally:
        waiting = [ended] if coming is None else [ended, coming]
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await states.aclose()


async def _next(states: AsyncGenerator[PostState, None]) -> PostState | None:
    return await anext(states, None)


def _events(before: PostState, after: PostState, base_url: str) -> list[bytes]:
    """What is new."""
    events = []
    if after.result is None and after.state != before.state:
        events.append(_event("state", {"id": str(after.post_id), "state": after.state}))
    for number, caption in sorted(after.captions.items()):
        if number not in before.captions:
            events.append(_event("caption", {"variant": number, "text": caption}))
    for number, picture in sorted(after.pictures.items()):
        if number not in before.pictures:
            url = image_url(picture.key, base_url)
            events.append(_event("picture", {"variant": number, "url": url}))
    if after.result is not None:
        events.append(_event(after.result.state, post_document(after, base_url), END))
    return events


def _event(name: str, data: object, identity: str | None = None) -> bytes:
    return format_sse_event(event=name, data_str=orjson.dumps(data).decode(), id=identity)
