"""`GET /social/posts/{post_id}/events`: a post as it is made, as server-sent events."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from http import HTTPStatus
from typing import Final

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.sse import EventSourceResponse, format_sse_event

from api.identity.access import Asking, access
from api.identity.principal import Role
from api.problems import documented
from api.server_events import HEADERS, RETRY_MS, LastEventId, StreamEnds, kept_alive
from api.social.board import PostBoard, PostState
from api.social.documents import base_url_of, image_url, post_document
from api.social.new_post import POSTS
from api.social.posts import PostId, found_post
from api.state import FromBoard, FromClickHouse, WaitsForPosts

router = APIRouter(tags=["social"], dependencies=[access(Role.USER)])

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
    ends: StreamEnds,
    last_event_id: LastEventId = "",
) -> Response:
    """What there is comes first, then each change; it ends with the post, or after 5 minutes."""
    base_url = base_url_of(request, waits.public_url)
    if last_event_id == END:
        # A browser's EventSource connects again after every end, until it is told not to.
        return Response(status_code=HTTPStatus.NO_CONTENT)
    state = await found_post(board, clickhouse, asking.subject, post_id)
    if state.result is None and state.options is not None:
        board.queued(asking.subject, post_id, state.options, state.requested_at or waits.clock())
    told = PostState(state.post_id, state.user_id)
    if state.result is not None:
        return EventSourceResponse(_ended(told, state, base_url), headers=HEADERS)
    # Even if nothing else is known of it.
    first = [
        format_sse_event(retry=RETRY_MS),
        _event("state", {"id": str(told.post_id), "state": state.state}),
    ]
    told = PostState(state.post_id, state.user_id, state=state.state)
    changes = _changes(board, told, base_url)
    return EventSourceResponse(kept_alive(changes, ends, first=first), headers=HEADERS)


async def _ended(told: PostState, state: PostState, base_url: str) -> AsyncIterator[bytes]:
    for event in _events(told, state, base_url):
        yield event


async def _changes(
    board: PostBoard, told: PostState, base_url: str
) -> AsyncGenerator[list[bytes], None]:
    async with aclosing(board.watch(told.user_id, told.post_id)) as states:
        async for state in states:
            yield _events(told, state, base_url)
            told = state


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
