"""`GET /social/posts`: one's own posts, and one of them."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.analytics.ranges import refuse_repeated
from api.clickhouse import ClickHouseReader
from api.cursors import FIRST_PAGE, next_page_link, parse_cursor
from api.identity.access import Asking, access
from api.identity.principal import Role
from api.problems import Problem, documented
from api.social.board import PostBoard, PostState
from api.social.documents import PRIVATE, PostDocument, base_url_of, post_document, post_response
from api.social.history import stored_post, stored_posts
from api.social.new_post import POSTS
from api.state import FromBoard, FromClickHouse, SocialWaits, WaitsForPosts
from api.tables import CSV_DOCUMENTED, table_response

router = APIRouter(tags=["social"], dependencies=[access(Role.USER)])

PostId = Annotated[UUID, Path(description="The post's `id`.")]

_COLUMNS = (
    "id",
    "state",
    "caption",
    "image_url",
    "prompt",
    "platform",
    "tone",
    "language",
    "stub",
    "reason",
    "detail",
    "credits_charged",
    "credits_refunded",
    "requested_at",
    "finished_at",
)


class PostsQuestion(BaseModel):
    """Which page of posts."""

    model_config = ConfigDict(extra="forbid")

    cursor: Annotated[str | None, Field(description="`next_cursor` of the page before.")] = None
    limit: Annotated[int, Field(ge=1, le=200, description="How many a page holds.")] = 20


class PostsPage(BaseModel):
    """A page of posts; `next_cursor` is null on the last."""

    items: list[PostDocument]
    next_cursor: str | None


def no_such_post() -> Problem:
    return Problem(
        HTTPStatus.NOT_FOUND, "you have no post with this id; GET /social/posts lists yours"
    )


@router.get(
    POSTS,
    summary="List one's own posts, newest first",
    dependencies=[Depends(refuse_repeated)],
    response_model=PostsPage,
    responses={
        HTTPStatus.OK: CSV_DOCUMENTED,
        **documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
async def list_posts(
    request: Request,
    question: Annotated[PostsQuestion, Query()],
    asking: Asking,
    clickhouse: FromClickHouse,
    board: FromBoard,
    waits: WaitsForPosts,
) -> Response:
    """Eventually consistent: a new post shows some hundred milliseconds after it was charged."""
    cursor = FIRST_PAGE if question.cursor is None else parse_cursor(question.cursor)
    found = await stored_posts(clickhouse, asking.subject, cursor, question.limit + 1)
    page = found[: question.limit]
    next_cursor = page[-1][0].text() if len(found) > len(page) else None
    base_url = base_url_of(request, waits.public_url)
    items = [post_document(board.newer(state), base_url) for _, state in page]
    return table_response(
        request,
        {"items": items, "next_cursor": next_cursor},
        _COLUMNS,
        [[item[name] for name in _COLUMNS] for item in items],
        headers={**next_page_link(request, next_cursor), **PRIVATE},
    )


@router.get(
    f"{POSTS}/{{post_id}}",
    summary="Show a post: where it stands, and what there is of it",
    response_model=PostDocument,
    responses=documented(
        HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE
    ),
)
async def show_post(
    request: Request,
    post_id: PostId,
    asking: Asking,
    clickhouse: FromClickHouse,
    board: FromBoard,
    waits: WaitsForPosts,
) -> Response:
    """`queued`, `generating`, `done`, or `failed` with the reason."""
    state = await found_post(board, clickhouse, asking.subject, post_id)
    return _shown(request, state, waits)


async def found_post(
    board: PostBoard, clickhouse: ClickHouseReader, user_id: str, post_id: UUID
) -> PostState:
    """A user's post as it stands. Raises a Problem: 404, or 503 when ClickHouse is away.

    What the board does not know to have ended may have, longer ago than it looks back.
    """
    state = board.state_of(user_id, post_id)
    if state is not None and state.result is not None and state.options is not None:
        return state
    stored = await stored_post(clickhouse, user_id, post_id)
    if stored is not None:
        if stored.result is not None:
            board.ended(stored.result)
        return board.newer(stored)
    if state is None:
        raise no_such_post()
    return state


def _shown(request: Request, state: PostState, waits: SocialWaits) -> Response:
    return post_response(post_document(state, base_url_of(request, waits.public_url)))
