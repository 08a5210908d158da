"""Use that waits until its user's customer is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from deploy.billing.clickhouse_questions import Questions, moment_text
from schemas.billing import REPORTABLE

PENDING: Final = """
SELECT
    user_id,
    meter,
    sum(value) AS units,
    count() AS reports,
    min(occurred_at) AS oldest,
    count() OVER () AS rows_in_all
FROM usage_report_states
WHERE state = 'pending' AND occurred_at >= {since:DateTime64(6, 'UTC')}
GROUP BY user_id, meter
ORDER BY
    -- What Stripe soon takes no more comes first.
    oldest,
    -- These make it unique.
    user_id, meter
LIMIT {limit:UInt32}
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Use of a user by a meter; `oldest` is when the first of it happened."""

    user_id: str
    meter: str
    units: int
    reports: int
    oldest: datetime


def read_pending(questions: Questions, now: datetime, limit: int) -> tuple[Sequence[Waiting], int]:
    """Up to `limit` of them, the oldest first, and how many there are in all.

    Only what Stripe still takes. Raises as Questions does.
    """
    since = moment_text(now - REPORTABLE)
    rows = questions.rows(PENDING, {"since": since, "limit": limit})
    found = [
        Waiting(user_id, meter, int(units), int(reports), oldest.replace(tzinfo=UTC))
        for user_id, meter, units, reports, oldest, _ in rows
    ]
    return found, int(rows[0][5]) if rows else 0
