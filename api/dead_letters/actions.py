"""`POST /dead-letters/…/replay` and `…/discard`, for one letter and for many."""

from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from api.clickhouse import ClickHouseReader
from api.cursors import FIRST_PAGE, Cursor, parse_cursor
from api.dead_letters.filters import Filters
from api.dead_letters.letters import Place, places, places_of
from api.dead_letters.outcomes import Desk, Outcome, outcome_of
from api.dead_letters.pages import STEPS, count_open, find_page
from api.dead_letters.paths import DISCARD_SEVERAL, ONE, REPLAY_SEVERAL
from api.dead_letters.selection import REQUEST_BODY, Selection, read_selection
from api.identity.access import access
from api.identity.principal import Role
from api.problems import Problem, documented
from api.state import FromClickHouse, ToKafka, clock
from schemas.dead_letters import Action

router = APIRouter(tags=["dead letters"], dependencies=[access(Role.ADMIN)])

_SEVERAL: Final = documented(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_ONE: Final = documented(
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
)

DOCUMENTED_MODELS: Final[tuple[type[BaseModel], ...]] = (Selection,)


class Outcomes(BaseModel):
    """What became of several dead letters."""

    done: Annotated[int, Field(description="How many were replayed or discarded.")]
    failed: Annotated[int, Field(description="How many were not; `error` of each says why.")]
    left: Annotated[
        int,
        Field(
            description="How many open ones match the filters beyond these, counted among the next "
            f"{STEPS[-1]:,} that match."
        ),
    ]
    next_cursor: Annotated[
        str | None,
        Field(
            description="To go on with those that are left; null when none are. Where open ones "
            "are rare among hundreds of thousands it may stand beside few `items`, even none."
        ),
    ]
    items: list[Outcome]


@router.post(
    REPLAY_SEVERAL,
    status_code=HTTPStatus.ACCEPTED,
    summary="Replay up to 1,000 dead letters",
    response_model=Outcomes,
    responses=_SEVERAL,
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def replay_several(
    request: Request, clickhouse: FromClickHouse, publisher: ToKafka
) -> Response:
    """As for one letter, each by itself: one that cannot be replayed does not hinder the others."""
    desk = Desk(clickhouse, publisher, clock(request)())
    return await _several(desk, "replayed", await read_selection(request))


@router.post(
    DISCARD_SEVERAL,
    status_code=HTTPStatus.ACCEPTED,
    summary="Discard up to 1,000 dead letters",
    response_model=Outcomes,
    responses=_SEVERAL,
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def discard_several(
    request: Request, clickhouse: FromClickHouse, publisher: ToKafka
) -> Response:
    """They are no longer listed as open, and cannot be replayed any more; nothing is deleted."""
    desk = Desk(clickhouse, publisher, clock(request)())
    return await _several(desk, "discarded", await read_selection(request))


@router.post(
    f"{ONE}/replay",
    status_code=HTTPStatus.ACCEPTED,
    summary="Replay one dead letter",
    response_model=Outcome,
    responses=_ONE,
)
async def replay_one(
    dead_letter_id: UUID, request: Request, clickhouse: FromClickHouse, publisher: ToKafka
) -> Response:
    """Checks the message by today's rules and publishes the event to the topic where it belongs.

    The event keeps its `event_id`, and gets the letter's id when it has none: it counts once,
    however often it is replayed. What still cannot be used gets 422 with today's reason, and
    nothing is published or recorded.
    """
    desk = Desk(clickhouse, publisher, clock(request)())
    return await _one(desk, "replayed", dead_letter_id)


@router.post(
    f"{ONE}/discard",
    status_code=HTTPStatus.ACCEPTED,
    summary="Discard one dead letter",
    response_model=Outcome,
    responses=_ONE,
)
async def discard_one(
    dead_letter_id: UUID, request: Request, clickhouse: FromClickHouse, publisher: ToKafka
) -> Response:
    """It is no longer listed as open, and cannot be replayed any more; it is not deleted."""
    desk = Desk(clickhouse, publisher, clock(request)())
    return await _one(desk, "discarded", dead_letter_id)


async def _one(desk: Desk, action: Action, dead_letter_id: UUID) -> Response:
    found = await places(desk.clickhouse, [dead_letter_id])
    [result] = await desk.act(action, [dead_letter_id], found)
    if isinstance(result, Problem):
        raise result
    return _accepted(result.model_dump(mode="json"))


async def _several(desk: Desk, action: Action, selection: Selection) -> Response:
    left, cursor = 0, None
    if selection.ids is not None:
        ids = list(dict.fromkeys(selection.ids))
        found = await places(desk.clickhouse, ids)
    else:
        page, cursor, left = await _open(desk.clickhouse, selection)
        ids = [place.dead_letter_id for place in page]
        found = {place.dead_letter_id: place for place in page}
    results = await desk.act(action, ids, found)
    items = [outcome_of(each, result) for each, result in zip(ids, results, strict=True)]
    failed = sum(item.status == "failed" for item in items)
    return _accepted(
        {
            "done": len(items) - failed,
            "failed": failed,
            "left": left,
            "next_cursor": None if cursor is None else cursor.text(),
            "items": [item.model_dump(mode="json") for item in items],
        }
    )


async def _open(
    clickhouse: ClickHouseReader, selection: Selection
) -> tuple[list[Place], Cursor | None, int]:
    """The open letters that match, where to go on behind them, and how many are left there."""
    filters = selection.filters or Filters()
    behind = FIRST_PAGE if selection.cursor is None else parse_cursor(selection.cursor)
    page, cursor = await find_page(clickhouse, filters, "open", behind, selection.limit)
    found = await places_of(clickhouse, page)
    left = 0 if cursor is None else await count_open(clickhouse, filters, cursor)
    ids = [each.dead_letter_id for each in page]
    return [found[each] for each in ids if each in found], cursor, left


def _accepted(document: dict[str, object]) -> Response:
    return Response(orjson.dumps(document), HTTPStatus.ACCEPTED, media_type="application/json")
