"""`GET /api/user/usage`: the ledger, every change of an account with its reason, page by page."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.analytics.ranges import LATEST, NOT_BEFORE_START, Moment, epoch_ms, refuse_repeated
from api.clickhouse import ClickHouseReader, Row
from api.cursors import FIRST_PAGE, Cursor, next_page_link, parse_cursor
from api.identity.access import Asking, access
from api.identity.principal import Role
from api.problems import documented
from api.quotas.paths import MINE, OF_USER, UserInPath
from api.state import FromClickHouse
from api.tables import CSV_DOCUMENTED, table_response
from schemas.decoding import canonical_time
from schemas.limits import EARLIEST_OCCURRED_AT

router = APIRouter(tags=["quotas"])

Kind = Literal["spend", "refund", "top_up", "plan_changed", "restore"]

# The table's key read backwards, as for events: within a user by arrival, which is the order in
# which it was decided.
_USAGE: Final = """
SELECT
    decision_topic, decision_partition, decision_incarnation, decision_offset,
    toUnixTimestamp64Milli(received_at),
    toString(decision_id), kind, reason, arraySum(top_up_changes.change) - change,
    quota_used, limit, remaining, plan,
    toUnixTimestamp64Milli(period_start), toUnixTimestamp64Milli(resets_at),
    toUnixTimestamp64Milli(decided_at), toString(command_id), toString(spend_id)
FROM quota_decisions
WHERE user_id = {user_id:String}
  AND applied
  AND ({kind:String} = '' OR kind = {kind:String})
  AND decided_at >= fromUnixTimestamp64Milli({start:Int64})
  AND decided_at < fromUnixTimestamp64Milli({end:Int64})
  AND received_at <= fromUnixTimestamp64Milli({cursor_ms:Int64})
  AND (
    received_at, decision_topic, decision_partition, decision_incarnation, decision_offset
  ) < (
    fromUnixTimestamp64Milli({cursor_ms:Int64}),
    {cursor_topic:String}, {cursor_partition:UInt16},
    {cursor_incarnation:UInt32}, {cursor_offset:UInt64}
  )
ORDER BY
    user_id DESC, received_at DESC,
    decision_topic DESC, decision_partition DESC, decision_incarnation DESC, decision_offset DESC
LIMIT {limit:UInt32}
"""
_PRIVATE: Final = {"Cache-Control": "private, no-store"}


class UsageQuestion(BaseModel):
    """Which changes, and which page of them."""

    model_config = ConfigDict(extra="forbid")

    kind: Annotated[Kind | None, Field(description="Only changes of this kind.")] = None
    start: Annotated[
        Moment | None,
        Field(
            alias="from",
            description="Only changes of then or later: RFC 3339 with a zone (write + as %2B).",
            examples=["2026-11-01T00:00:00Z"],
        ),
    ] = None
    end: Annotated[
        Moment | None,
        Field(alias="to", description="As `from`, exclusive.", examples=["2026-12-01T00:00:00Z"]),
        NOT_BEFORE_START,
    ] = None
    cursor: Annotated[str | None, Field(description="`next_cursor` of the page before.")] = None
    limit: Annotated[int, Field(ge=1, le=1000, description="How many a page holds.")] = 50


class UsageItem(BaseModel):
    """One change of an account, and where the account stood after it. Amounts in credits."""

    id: Annotated[str, Field(description="Of the decision; unique.")]
    kind: Kind
    reason: Annotated[str, Field(examples=["post generated"])]
    credits: Annotated[
        int,
        Field(
            description="Signed, as the account sees it: below zero what was spent, above zero "
            "what was granted or given back, zero when only the plan changed.",
            examples=[-1],
        ),
    ]
    quota_used: Annotated[int, Field(description="In the period, after this change.")]
    limit: Annotated[int, Field(description="Of the period, top-ups with it, after this change.")]
    remaining: int
    plan: str
    period_start: datetime
    resets_at: datetime
    at: Annotated[datetime, Field(description="When it was asked for.")]
    command_id: Annotated[str, Field(description="What asked for it; a spend's `spend_id`.")]
    spend_id: Annotated[str | None, Field(description="The spend that a refund undid.")]


class UsagePage(BaseModel):
    """A page of the ledger; `next_cursor` is null on the last."""

    items: list[UsageItem]
    next_cursor: str | None


@router.get(
    f"{MINE}/usage",
    summary="List the changes of one's own account, newest first",
    dependencies=[access(Role.USER), Depends(refuse_repeated)],
    response_model=UsagePage,
    responses={
        HTTPStatus.OK: CSV_DOCUMENTED,
        **documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
async def list_own_usage(
    request: Request,
    question: Annotated[UsageQuestion, Query()],
    asking: Asking,
    clickhouse: FromClickHouse,
) -> Response:
    """The ledger: each spend, refund, top-up and change of plan, with its reason.

    Eventually consistent: a change shows some hundred milliseconds after it was answered, later
    while ClickHouse is away. `GET /api/user/plan` is exact at once.
    """
    return await _page(request, asking.subject, question, clickhouse)


@router.get(
    f"{OF_USER}/usage",
    summary="List the changes of a user's account, newest first",
    dependencies=[access(Role.ADMIN), Depends(refuse_repeated)],
    response_model=UsagePage,
    responses={
        HTTPStatus.OK: CSV_DOCUMENTED,
        **documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
async def list_usage(
    request: Request,
    question: Annotated[UsageQuestion, Query()],
    user_id: UserInPath,
    clickhouse: FromClickHouse,
) -> Response:
    """As `GET /api/user/usage`, of any user; without a single change the list is empty."""
    return await _page(request, user_id, question, clickhouse)


async def _page(
    request: Request, user_id: str, question: UsageQuestion, clickhouse: ClickHouseReader
) -> Response:
    cursor = FIRST_PAGE if question.cursor is None else parse_cursor(question.cursor)
    rows = await clickhouse.ask(
        _USAGE,
        {
            "user_id": user_id,
            "kind": question.kind or "",
            "start": epoch_ms(question.start, EARLIEST_OCCURRED_AT),
            "end": epoch_ms(question.end, LATEST),
            **cursor.parameters(),
            "limit": question.limit + 1,
        },
    )
    page = rows[: question.limit]
    next_cursor = _cursor_of(page[-1]).text() if len(rows) > len(page) else None
    items = [_item(row) for row in page]
    return table_response(
        request,
        {"items": items, "next_cursor": next_cursor},
        tuple(UsageItem.model_fields),
        [tuple(item.values()) for item in items],
        headers={**next_page_link(request, next_cursor), **_PRIVATE},
    )


_KEY: Final = 5


def _cursor_of(row: Row) -> Cursor:
    topic, partition, incarnation, offset, ms = map(str, row[:_KEY])
    return Cursor(int(ms), topic, int(partition), int(incarnation), int(offset))


def _item(row: Row) -> dict[str, object]:
    identity, kind, reason, credits_, used, limit, remaining, plan, *rest = row[_KEY:]
    start, end, at, command_id, spend_id = rest
    return {
        "id": identity,
        "kind": kind,
        "reason": reason,
        "credits": credits_,
        "quota_used": used,
        "limit": limit,
        "remaining": remaining,
        "plan": plan,
        "period_start": _time(start),
        "resets_at": _time(end),
        "at": _time(at),
        "command_id": command_id,
        "spend_id": spend_id,
    }


def _time(ms: object) -> str:
    return canonical_time(datetime.fromtimestamp(int(str(ms)) / 1000, UTC))
