"""`POST /api/users/{user_id}/rebuild`: makes an account again what the ledger says."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from itertools import count
from time import monotonic
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from uuid_utils.compat import uuid7

from api.clickhouse import ClickHouseReader
from api.identity.access import access
from api.identity.principal import Role
from api.problems import Problem, documented, unavailable
from api.quotas.decisions import decisions_of, holds
from api.quotas.desk import NoDecision, QuotaDesk
from api.quotas.documents import PlanDocument, answer
from api.quotas.ledger import KEPT, Ledger
from api.quotas.paths import OF_USER, UserInPath
from api.state import AtQuotas, FromClickHouse, Now
from schemas.quotas import PastCommand, QuotaDecision, Restore, Show

router = APIRouter(tags=["quotas"], dependencies=[access(Role.ADMIN)])

REASON: Final = "rebuilt from the ledger"
SETTLE_SECONDS: Final = 10.0
"""So long the ledger may be behind the account, and so long the account may change meanwhile."""
PAUSE_SECONDS: Final = 0.2
LOOK_SECONDS: Final = 0.05

MOST_REMEMBERED: Final = 500
MOST_REMEMBERED_BYTES: Final = 600_000
"""Of one Restore; a message on Kafka is at most 1 MiB."""
_SKEW: Final = timedelta(hours=1)
_AGAIN: Final = "run it again: a rebuild may be repeated at any time"


class RebuiltAccount(BaseModel):
    """What was read, what was done, and the account before and after it."""

    user_id: Annotated[str, Field(examples=["u-42"])]
    changes: Annotated[int, Field(description="Changes in the ledger that add up to the account.")]
    remembered: Annotated[
        int, Field(description="Decisions that the account knows again, for copies and refunds.")
    ]
    before: PlanDocument
    after: PlanDocument


@dataclass(frozen=True, slots=True)
class _Sent:
    """Restores that were carried out: what they said, the last one's decision."""

    restore: Restore
    decision: QuotaDecision
    remembered: int


@router.post(
    f"{OF_USER}/rebuild",
    summary="Make an account again what the ledger says",
    response_model=RebuiltAccount,
    responses=documented(
        HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE
    ),
)
async def rebuild(
    user_id: UserInPath, desk: AtQuotas, clickhouse: FromClickHouse, now: Now
) -> Response:
    """For after the loss of Kafka's data, which accounts lie on; safe to repeat.

    What was decided since counts too. Answers when the ledger shows the restore and adds up to
    the account, which takes a sink that runs.
    """
    before = await _shown(desk, user_id, now)
    deadline = monotonic() + SETTLE_SECONDS
    for attempt in count():
        ledger = await _read(clickhouse, user_id)
        shown = await _shown(desk, user_id, now) if attempt else before
        replaces = _last_change(ledger, shown, other=bool(attempt % 2))
        sent = await _restored(desk, clickhouse, user_id, ledger, now, replaces)
        if sent is not None:
            await _until_shown(clickhouse, user_id, sent.decision.decision_id)
            settled = await _read(clickhouse, user_id, until=sent.decision.decision_id)
            if _agree(settled, sent):
                return answer(
                    RebuiltAccount(
                        user_id=user_id,
                        changes=settled.changed,
                        remembered=sent.remembered,
                        before=PlanDocument.of(before),
                        after=PlanDocument.of(sent.decision),
                    )
                )
        if monotonic() > deadline:
            break
        await asyncio.sleep(PAUSE_SECONDS)
    raise unavailable(
        "the account changes faster than the ledger shows it, or no sink runs; nothing that was "
        f"decided is lost. Stop what spends its credits for a moment, and {_AGAIN}"
    )


async def _read(clickhouse: ClickHouseReader, user_id: str, *, until: UUID | None = None) -> Ledger:
    """The ledger, up to a decision."""
    ledger = Ledger()
    async for each in decisions_of(clickhouse, user_id):
        ledger.take(each)
        if each.decision_id == until:
            break
    return ledger


def _last_change(ledger: Ledger, shown: QuotaDecision, *, other: bool) -> int:
    """The number of the account's last change: the ledger's, or 0 when data was lost since then.

    Which of the two it is, the account does not say: first what its figures tell, then the
    `other` one. A wrong one is refused.
    """
    last = ledger.last
    if last is None:
        return 0
    same = (last.plan, last.quota_used, last.limit, last.resets_at) == (
        *(shown.plan, shown.quota_used, shown.limit, shown.resets_at),
    )
    return last.number if same != other else 0


def _agree(ledger: Ledger, sent: _Sent) -> bool:
    """Whether the ledger, with the restore, adds up to the account that the restore made."""
    decision = sent.decision
    usage = ledger.usage()
    left = sum(
        each.left
        for each in sent.restore.top_ups
        if each.ends_at is None or each.ends_at > decision.decided_at
    )
    return usage.total == decision.quota_used and ledger.left(decision.decided_at) == left


async def _restored(
    desk: QuotaDesk,
    clickhouse: ClickHouseReader,
    user_id: str,
    ledger: Ledger,
    now: datetime,
    replaces: int,
) -> _Sent | None:
    """Restores the account, in as many commands as it takes for what it is to remember.

    None when the account has changed since the ledger.
    """
    restore = ledger.restore(uuid7(), user_id, now, REASON)
    if restore is None:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            "the ledger shows no change of this user's account; there is nothing to rebuild",
        )
    sent: _Sent | None = None
    async for part in _parts(clickhouse, user_id, ledger, now):
        command = restore.model_copy(
            update={
                "command_id": uuid7(),
                "remembered": part,
                "replaces": replaces if sent is None else restore.changes,
            }
        )
        decision = await _decided(desk, command)
        if decision.problem is not None:
            return None
        sent = _Sent(restore, decision, len(part) + (sent.remembered if sent else 0))
    return sent


async def _parts(
    clickhouse: ClickHouseReader, user_id: str, ledger: Ledger, now: datetime
) -> AsyncIterator[list[PastCommand]]:
    """What the account is to remember, oldest first, in parts that fit in a command.

    At least one part, if an empty one.
    """
    part: list[PastCommand] = []
    size = 0
    async for each in decisions_of(clickhouse, user_id, since=now - KEPT - _SKEW):
        past = ledger.past_command(each, now)
        if past is None:
            continue
        bytes_ = len(past.model_dump_json())
        if len(part) == MOST_REMEMBERED or size + bytes_ > MOST_REMEMBERED_BYTES:
            yield part
            part, size = [], 0
        part.append(past)
        size += bytes_
    yield part


async def _until_shown(clickhouse: ClickHouseReader, user_id: str, decision_id: UUID) -> None:
    deadline = monotonic() + SETTLE_SECONDS
    while not await holds(clickhouse, user_id, decision_id):
        if monotonic() > deadline:
            raise unavailable(
                "the account is restored, and the ledger does not show it yet: is a sink running? "
                f"When it has caught up, {_AGAIN}"
            )
        await asyncio.sleep(LOOK_SECONDS)


async def _shown(desk: QuotaDesk, user_id: str, now: datetime) -> QuotaDecision:
    return await _decided(
        desk, Show(command_id=uuid7(), user_id=user_id, issued_at=now, reason="shown")
    )


async def _decided(desk: QuotaDesk, command: Show | Restore) -> QuotaDecision:
    try:
        return await desk.decide(command)
    except NoDecision as error:
        raise unavailable(f"{error.reason}; {_AGAIN}") from None
