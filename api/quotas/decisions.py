"""Reads a user's decisions out of the ledger in ClickHouse, oldest first, page by page."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from api.analytics.ranges import epoch_ms
from api.clickhouse import ClickHouseReader, Row
from api.cursors import Cursor
from schemas.limits import EARLIEST_OCCURRED_AT
from schemas.quotas import QuotaDecision, TopUpChange

PAGE: Final = 500
"""Decisions that are asked for at once: some 30 ms of this process, measured."""

_BEFORE_ALL: Final = Cursor(-1, "", 0, 0, 0)

# The table's key, which is the order of decisions.
_DECISIONS: Final = """
SELECT
    toUnixTimestamp64Milli(received_at),
    decision_topic, decision_partition, decision_incarnation, decision_offset,
    toString(decision_id), toString(command_id), user_id, kind, applied, problem, reason, count,
    toString(spend_id), change,
    arrayMap(each -> toString(each), top_up_changes.top_up_id),
    top_up_changes.change,
    arrayMap(each -> toUnixTimestamp64Micro(each), top_up_changes.ends_at),
    number, plan, plans_version, subscription, limit, quota_used, remaining,
    toUnixTimestamp64Micro(period_start), toUnixTimestamp64Micro(resets_at), period_number,
    crossed, fingerprint, toUnixTimestamp64Micro(decided_at)
FROM quota_decisions
WHERE user_id = {user_id:String}
  AND received_at >= fromUnixTimestamp64Milli({since:Int64})
  AND received_at >= fromUnixTimestamp64Milli({cursor_ms:Int64})
  AND (
    received_at, decision_topic, decision_partition, decision_incarnation, decision_offset
  ) > (
    fromUnixTimestamp64Milli({cursor_ms:Int64}),
    {cursor_topic:String}, {cursor_partition:UInt16},
    {cursor_incarnation:UInt32}, {cursor_offset:UInt64}
  )
ORDER BY
    user_id, received_at,
    decision_topic, decision_partition, decision_incarnation, decision_offset
LIMIT {limit:UInt32}
"""
_HOLDS: Final = """
SELECT count() FROM quota_decisions
WHERE user_id = {user_id:String} AND decision_id = {decision_id:UUID}
"""
_KEY: Final = 5


async def decisions_of(
    clickhouse: ClickHouseReader, user_id: str, *, since: datetime = EARLIEST_OCCURRED_AT
) -> AsyncIterator[QuotaDecision]:
    """All that arrived since then, oldest first. Raises a 503 Problem when ClickHouse is away."""
    behind = _BEFORE_ALL
    while True:
        rows = await clickhouse.ask(
            _DECISIONS,
            {
                "user_id": user_id,
                "since": epoch_ms(since, since),
                **behind.parameters(),
                "limit": PAGE,
            },
        )
        for row in rows:
            yield _decision(row)
        if len(rows) < PAGE:
            return
        ms, topic, partition, incarnation, offset = map(str, rows[-1][:_KEY])
        behind = Cursor(int(ms), topic, int(partition), int(incarnation), int(offset))


async def holds(clickhouse: ClickHouseReader, user_id: str, decision_id: UUID) -> bool:
    """Whether the ledger holds this decision yet. Raises as `decisions_of`."""
    [[count]] = await clickhouse.ask(_HOLDS, {"user_id": user_id, "decision_id": str(decision_id)})
    return count != 0


def _decision(row: Row) -> QuotaDecision:
    """The decision, the very same as it lay on Kafka."""
    identity, command_id, user_id, kind, applied, problem, reason, count, *rest = row[_KEY:]
    spend_id, change, top_up_ids, changes, ends, number, plan, plans_version, *rest = rest
    subscription, limit, quota_used, remaining, start, end, period_number, *rest = rest
    crossed, fingerprint, decided_at = rest
    return QuotaDecision.model_validate(
        {
            "decision_id": identity,
            "command_id": command_id,
            "user_id": user_id,
            "kind": kind,
            "applied": applied,
            "problem": problem or None,
            "reason": reason,
            "count": count,
            "spend_id": spend_id,
            "change": change,
            "top_up_changes": [
                TopUpChange(top_up_id=each, change=by, ends_at=None if at is None else _time(at))
                for each, by, at in zip(
                    _listed(top_up_ids), _listed(changes), _listed(ends), strict=True
                )
            ],
            "number": number,
            "plan": plan,
            "plans_version": plans_version,
            "subscription": subscription,
            "limit": limit,
            "quota_used": quota_used,
            "remaining": remaining,
            "period_start": _time(start),
            "resets_at": _time(end),
            "period_number": period_number,
            "crossed": _listed(crossed),
            "fingerprint": fingerprint,
            "decided_at": _time(decided_at),
        }
    )


# ClickHouse's arrays come as lists of what the column holds; the model checks it.
def _listed(value: object) -> list[Any]:
    return list(value) if isinstance(value, Sequence) else []


def _time(micros: object) -> datetime:
    return EARLIEST_OCCURRED_AT + timedelta(microseconds=int(str(micros)))
