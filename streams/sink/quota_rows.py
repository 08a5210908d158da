"""The ledger's rows: one for each decision about a user's account."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from schemas.quotas import QuotaDecision
from schemas.topics import QUOTA_DECISIONS
from streams.failures import Invalid
from streams.records import Record
from streams.sink.model_rows import arrival, rows_of_model
from streams.sink.records import Made, Row, Source

DECISION_COLUMNS: Final = (
    "decision_id",
    "command_id",
    "user_id",
    "kind",
    "applied",
    "problem",
    "reason",
    "count",
    "spend_id",
    "change",
    "top_up_changes.top_up_id",
    "top_up_changes.change",
    "top_up_changes.ends_at",
    "number",
    "plan",
    "plans_version",
    "subscription",
    "limit",
    "quota_used",
    "remaining",
    "period_start",
    "resets_at",
    "period_number",
    "crossed",
    "fingerprint",
    "decided_at",
    "received_at",
    "decision_topic",
    "decision_partition",
    "decision_incarnation",
    "decision_offset",
)


def decision_rows(source: Source, records: Sequence[Record]) -> Made:
    """The rows of decisions; others have none (somebody else wrote to the topic)."""

    def row(decision: QuotaDecision, record: Record) -> tuple[bytes, Row]:
        if record.key != decision.user_id.encode():
            raise Invalid("wrong_key", f"the message key must be the {QUOTA_DECISIONS.key}")
        changes = decision.top_up_changes
        return decision.decision_id.bytes, (
            str(decision.decision_id),
            str(decision.command_id),
            decision.user_id,
            decision.kind,
            decision.applied,
            decision.problem or "",
            decision.reason,
            decision.count,
            None if decision.spend_id is None else str(decision.spend_id),
            decision.change,
            [str(each.top_up_id) for each in changes],
            [each.change for each in changes],
            [None if each.ends_at is None else _time(each.ends_at) for each in changes],
            decision.number,
            decision.plan,
            decision.plans_version,
            decision.subscription,
            decision.limit,
            decision.quota_used,
            decision.remaining,
            _time(decision.period_start),
            _time(decision.resets_at),
            decision.period_number,
            decision.crossed,
            decision.fingerprint,
            _time(decision.decided_at),
            *arrival(source, record),
        )

    return rows_of_model(QuotaDecision, records, row)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"
