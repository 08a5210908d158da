"""`POST /api/users/{user_id}/rebuild`: makes an account again what the ledger says."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
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
from api.quotas.documents import PlanDocument, answer, refused
from api.quotas.ledger import KEPT, Ledger
from api.quotas.paths import OF_USER, UserInPath
from api.state import AtQuotas, FromClickHouse, Now
from schemas.quotas import PastCommand, QuotaDecision, Restore, Show

router = APIRouter(tags=["quotas"], dependencies=[access(Role.ADMIN)])

REASON: Final = "rebuilt from the ledger"
ATTEMPTS: Final = 5
"""An account in use changes between the look at its ledger and the restore."""
LEDGER_SECONDS: Final = 10.0
"""So long the ledger may take to show a restore."""
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
    restores: Annotated[
        int,
        Field(
            description="Commands that were sent: one for each 500 decisions to remember, and one "
            "more whenever the account changed meanwhile."
        ),
    ]
    before: PlanDocument
    after: PlanDocument


@dataclass
class _Sent:
    """Restores that were carried out: the last, its decision, and the ids of all decisions."""

    restore: Restore
    decision: QuotaDecision
    ids: set[UUID] = field(default_factory=set)
    remembered: int = 0


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
    before = await _decided(
        desk, Show(command_id=uuid7(), user_id=user_id, issued_at=now, reason="shown")
    )
    ledger, _ = await _read(clickhouse, user_id, set())
    sent = await _restored(desk, clickhouse, user_id, ledger, now, remember=True)
    for _ in range(ATTEMPTS):
        await _until_shown(clickhouse, user_id, sent.decision.decision_id)
        # Without these restores: what they replaced counts.
        found, settled = await _read(clickhouse, user_id, sent.ids, until=sent.decision)
        if found.changed == ledger.changed and _agree(settled, sent):
            return answer(
                RebuiltAccount(
                    user_id=user_id,
                    changes=found.changed,
                    remembered=sent.remembered,
                    restores=len(sent.ids),
                    before=PlanDocument.of(before),
                    after=PlanDocument.of(sent.decision),
                )
            )
        chosen = settled if found.changed == ledger.changed else found
        more = await _restored(desk, clickhouse, user_id, chosen, now, remember=False)
        sent = _Sent(more.restore, more.decision, sent.ids | more.ids, sent.remembered)
        ledger = found
    raise unavailable(f"the account is in use and changed each time; {_AGAIN}")


async def _read(
    clickhouse: ClickHouseReader,
    user_id: str,
    ours: set[UUID],
    until: QuotaDecision | None = None,
) -> tuple[Ledger, Ledger]:
    """The ledger without our restores and with them, up to one of those."""
    without, whole = Ledger(), Ledger()
    async for each in decisions_of(clickhouse, user_id):
        whole.take(each)
        if each.decision_id not in ours:
            without.take(each)
        if until is not None and each.decision_id == until.decision_id:
            break
    return without, whole


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
    *,
    remember: bool,
) -> _Sent:
    """Restores the account, in as many commands as it takes for what it is to remember."""
    restore = ledger.restore(uuid7(), user_id, now, REASON)
    if restore is None:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            "the ledger holds no change of this user's account; there is nothing to rebuild",
        )
    sent: _Sent | None = None
    async for part in _parts(clickhouse, user_id, ledger, now, remember=remember):
        command = restore.model_copy(update={"command_id": uuid7(), "remembered": part})
        decision = await _decided(desk, command)
        ids = {decision.decision_id} | (sent.ids if sent else set())
        sent = _Sent(restore, decision, ids, len(part) + (sent.remembered if sent else 0))
    if sent is None:
        raise AssertionError("there is always a part, if an empty one")
    return sent


async def _parts(
    clickhouse: ClickHouseReader, user_id: str, ledger: Ledger, now: datetime, *, remember: bool
) -> AsyncIterator[list[PastCommand]]:
    """What the account is to remember, oldest first, in parts that fit in a command."""
    part: list[PastCommand] = []
    size = 0
    if remember:
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
    deadline = monotonic() + LEDGER_SECONDS
    while not await holds(clickhouse, user_id, decision_id):
        if monotonic() > deadline:
            raise unavailable(
                "the account is restored, and the ledger does not show it yet: is a sink running? "
                f"When it has caught up {_AGAIN}"
            )
        await asyncio.sleep(LOOK_SECONDS)


async def _decided(desk: QuotaDesk, command: Show | Restore) -> QuotaDecision:
    try:
        decision = await desk.decide(command)
    except NoDecision as error:
        raise unavailable(f"{error.reason}; {_AGAIN}") from None
    if decision.problem is not None:
        raise refused(decision, decision.problem)
    return decision
