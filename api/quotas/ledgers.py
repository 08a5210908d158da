"""Who has a ledger, and whether it adds up to the account: `weir quota check`."""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from http import HTTPStatus
from time import monotonic
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from uuid_utils.compat import uuid7

from api.analytics.ranges import refuse_repeated
from api.cursors import next_page_link
from api.identity.access import access
from api.identity.principal import Role
from api.problems import documented, field_problem
from api.quotas.commands import carry_out
from api.quotas.decisions import decisions_of
from api.quotas.documents import PlanDocument, answer
from api.quotas.ledger import Ledger
from api.quotas.paths import OF_USER, UserInPath
from api.state import AtQuotas, FromClickHouse, Now, Plans
from api.tables import CSV_DOCUMENTED, table_response
from schemas.decoding import canonical_time
from schemas.limits import MAX_NAME_CHARACTERS
from schemas.plans import Catalogue
from schemas.quotas import QuotaDecision, Show

router = APIRouter(tags=["quotas"], dependencies=[access(Role.ADMIN)])

SETTLE_SECONDS: Final = 3.0
"""So long the ledger may be behind the account before the two are said to differ."""
LOOK_SECONDS: Final = 0.1

# By the table's key, so that a page costs the same wherever it lies.
_USERS: Final = """
SELECT user_id, count(), toUnixTimestamp64Milli(max(decided_at))
FROM quota_decisions
WHERE user_id > {behind:String} AND applied AND kind != 'restore'
GROUP BY user_id
ORDER BY user_id
LIMIT {limit:UInt32}
SETTINGS optimize_aggregation_in_order = 1
"""


class UsersQuestion(BaseModel):
    """Which page of users."""

    model_config = ConfigDict(extra="forbid")

    cursor: Annotated[str | None, Field(description="`next_cursor` of the page before.")] = None
    limit: Annotated[int, Field(ge=1, le=1000, description="How many a page holds.")] = 50


class LedgerUser(BaseModel):
    """A user with a ledger."""

    user_id: str
    changes: Annotated[int, Field(description="Changes in the ledger.")]
    changed_at: Annotated[datetime, Field(description="The last of them.")]


class UsersPage(BaseModel):
    """A page of users; `next_cursor` is null on the last."""

    items: list[LedgerUser]
    next_cursor: str | None


class LedgerSum(BaseModel):
    """What the ledger adds up to at the account's moment. Amounts in credits."""

    plan: str
    quota_used: Annotated[int, Field(description="In the account's running period.")]
    top_up_credits_left: int
    changes: Annotated[int, Field(description="Changes in the ledger.")]


class CheckedLedger(BaseModel):
    """An account, and what its ledger adds up to."""

    user_id: str
    agrees: Annotated[
        bool, Field(description="Whether the two are the same; if not: `weir quota rebuild`.")
    ]
    account: PlanDocument
    ledger: LedgerSum


@router.get(
    "/api/users",
    summary="List users with a ledger",
    dependencies=[Depends(refuse_repeated)],
    response_model=UsersPage,
    responses={
        HTTPStatus.OK: CSV_DOCUMENTED,
        **documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
async def list_users(
    request: Request, question: Annotated[UsersQuestion, Query()], clickhouse: FromClickHouse
) -> Response:
    """Those whose account ever changed, by their ids. Eventually consistent, as the ledger is."""
    behind = "" if question.cursor is None else _user_behind(question.cursor)
    rows = await clickhouse.ask(_USERS, {"behind": behind, "limit": question.limit + 1})
    page = rows[: question.limit]
    next_cursor = _cursor(str(page[-1][0])) if len(rows) > len(page) else None
    items = [
        {"user_id": user_id, "changes": changes, "changed_at": _time(ms)}
        for user_id, changes, ms in page
    ]
    return table_response(
        request,
        {"items": items, "next_cursor": next_cursor},
        tuple(LedgerUser.model_fields),
        [tuple(item.values()) for item in items],
        headers=next_page_link(request, next_cursor),
    )


@router.get(
    f"{OF_USER}/ledger",
    summary="Check that a user's ledger adds up to the account",
    response_model=CheckedLedger,
    responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
)
async def check_ledger(
    user_id: UserInPath, desk: AtQuotas, clickhouse: FromClickHouse, now: Now, plans: Plans
) -> Response:
    """Credits used in the running period, and those left of top-ups, on both sides.

    The ledger gets 3 seconds to catch up. An account in constant use may differ by what is on
    its way.
    """
    deadline = monotonic() + SETTLE_SECONDS
    while True:
        shown = await carry_out(
            desk, Show(command_id=uuid7(), user_id=user_id, issued_at=now, reason="checked")
        )
        ledger = Ledger()
        async for each in decisions_of(clickhouse, user_id):
            ledger.take(each)
        added = sum_at(ledger, shown)
        agrees = added == _sum_of(shown, ledger, added, plans)
        if agrees or monotonic() > deadline:
            return answer(
                CheckedLedger(
                    user_id=user_id, agrees=agrees, account=PlanDocument.of(shown), ledger=added
                )
            )
        await asyncio.sleep(LOOK_SECONDS)


def sum_at(ledger: Ledger, shown: QuotaDecision) -> LedgerSum:
    """What a ledger adds up to in the period in which the account is."""
    standing = ledger.standing
    # A period that has ended is left behind without a decision.
    over = standing is None or standing.end <= shown.period_start
    return LedgerSum(
        plan=shown.plan if standing is None else standing.plan,
        quota_used=0 if over else ledger.usage().total,
        top_up_credits_left=ledger.left(shown.decided_at),
        changes=ledger.changed,
    )


def _sum_of(shown: QuotaDecision, ledger: Ledger, added: LedgerSum, plans: Catalogue) -> LedgerSum:
    """What an account says in the terms of a ledger."""
    left = added.top_up_credits_left
    if shown.plans_version == plans.version:
        used_of_top_ups = added.quota_used and ledger.usage().top_up_credits
        left = shown.limit - plans.plan_or_default(shown.plan).limit - used_of_top_ups
    return LedgerSum(
        plan=shown.plan,
        quota_used=shown.quota_used,
        top_up_credits_left=left,
        changes=added.changes,
    )


def _cursor(user_id: str) -> str:
    return urlsafe_b64encode(user_id.encode()).decode().rstrip("=")


def _user_behind(cursor: str) -> str:
    try:
        user_id = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        user_id = ""
    if not 1 <= len(user_id) <= MAX_NAME_CHARACTERS:
        raise field_problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "cursor",
            "cursor is not one of ours; take next_cursor from the page before, or leave it out",
        )
    return user_id


def _time(ms: object) -> str:
    return canonical_time(datetime.fromtimestamp(int(str(ms)) / 1000, UTC))
