"""`GET /dead-letters`: what could not be used, newest first, page by page."""

from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from api.analytics.ranges import refuse_repeated
from api.clickhouse import Row
from api.cursors import FIRST_PAGE, next_page_link, parse_cursor
from api.dead_letters.filters import Filters, StateFilter
from api.dead_letters.letters import (
    Acted,
    DeadLetterSummary,
    acted_on,
    moment_text,
    rows_at,
    state_of,
)
from api.dead_letters.pages import find_page
from api.identity.access import access
from api.identity.principal import Role
from api.problems import documented
from api.state import FromClickHouse
from api.tables import CSV_DOCUMENTED, table_response

router = APIRouter(tags=["dead letters"], dependencies=[access(Role.ADMIN)])

SHOWN_CHARACTERS: Final = 2_000
"""Of key and payload in a list; a multiple of four, so that cut base64 is base64."""

_LIST: Final = """
SELECT
    toString(dead_letter_id), topic, partition, offset, toUnixTimestamp64Milli(arrived_at),
    reason, detail,
    substringUTF8(key, 1, {shown:UInt32}), substringUTF8(payload, 1, {shown:UInt32}), encoding,
    lengthUTF8(payload) > {shown:UInt32}, truncated
FROM dead_letters
"""


class DeadLettersQuestion(Filters):
    """Which dead letters, and which page of them."""

    state: Annotated[
        StateFilter,
        Field(description="Only those about which this was done; `open`: nothing yet."),
    ] = "open"
    cursor: Annotated[str | None, Field(description="`next_cursor` of the page before.")] = None
    limit: Annotated[int, Field(ge=1, le=1000, description="How many a page holds.")] = 50


class DeadLettersPage(BaseModel):
    """A page of dead letters; `next_cursor` is null on the last."""

    items: Annotated[
        list[DeadLetterSummary],
        Field(
            description="Fewer than `limit`, even none, also before the last page, where those in "
            "this state are rare among hundreds of thousands."
        ),
    ]
    next_cursor: str | None


@router.get(
    "/dead-letters",
    summary="List dead letters, newest first",
    dependencies=[Depends(refuse_repeated)],
    response_model=DeadLettersPage,
    responses={
        HTTPStatus.OK: CSV_DOCUMENTED,
        **documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
async def list_dead_letters(
    request: Request, question: Annotated[DeadLettersQuestion, Query()], clickhouse: FromClickHouse
) -> Response:
    """Messages that could not be used; of long keys and payloads the first 2,000 characters.

    What was done about a letter shows some hundred milliseconds after it was.
    """
    cursor = FIRST_PAGE if question.cursor is None else parse_cursor(question.cursor)
    page, behind = await find_page(clickhouse, question, question.state, cursor, question.limit)
    rows = await rows_at(clickhouse, _LIST, page, {"shown": SHOWN_CHARACTERS})
    by_id = {UUID(str(row[0])): row for row in rows}
    ids = [each.dead_letter_id for each in page if each.dead_letter_id in by_id]
    acted = await acted_on(clickhouse, ids)
    items = [_item(by_id[each], acted.get(each)) for each in ids]
    next_cursor = None if behind is None else behind.text()
    return table_response(
        request,
        {"items": items, "next_cursor": next_cursor},
        tuple(DeadLetterSummary.model_fields),
        [tuple(item.values()) for item in items],
        headers=next_page_link(request, next_cursor),
    )


def _item(row: Row, acted: Acted | None) -> dict[str, object]:
    identity, topic, partition, offset, arrived, reason, detail, *kept = row
    key, payload, encoding, cut, truncated = kept
    return {
        "dead_letter_id": identity,
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "arrived_at": moment_text(int(str(arrived))),
        "reason": reason,
        "detail": detail,
        "key": key or None,
        "payload": payload or None,
        "encoding": encoding,
        "payload_truncated": bool(cut),
        "truncated": bool(truncated),
        **state_of(acted),
    }
