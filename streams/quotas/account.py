"""A user's account as the table keeps it: plain values, no Kafka, no Faust."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from schemas.quotas import QuotaDecision


@dataclass(frozen=True, slots=True)
class HeldTopUp:
    """A top-up with what is left of it, above 0, and when it ends.

    `ends_at` None: it lasts until it is used. One that is used up or has ended is held no more.
    """

    top_up_id: UUID
    left: int
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """Where a user stands. Amounts in credits, `[period_start, period_end)` in UTC.

    `subscription`: the period is a subscription's own, else a calendar month.
    `used`: credits of the plan used in the period; `top_up_credits_used`: those of top-ups,
    held or not any more.
    `top_ups`: in the order in which they are spent.
    `usage_since`: the start with which usage last began anew; a change of plan may move
    `period_start` before it.
    `period_number`: usage began anew so many times; what was decided with it counts in `used`.
    `anchor_day`: the day of the month on which a subscription's periods begin where the month has
    it; 0 for calendar months.
    `crossed`: thresholds (percent) that were published in the period.
    `changes`: how many changes the account has seen, the number of the last.
    `latest`: the latest time of any command; time never goes back.
    """

    user_id: str
    plan: str
    period_start: datetime
    period_end: datetime
    usage_since: datetime
    subscription: bool = False
    anchor_day: int = 0
    period_number: int = 1
    used: int = 0
    top_up_credits_used: int = 0
    top_ups: tuple[HeldTopUp, ...] = ()
    crossed: frozenset[int] = frozenset()
    changes: int = 0
    latest: datetime | None = None


@dataclass(frozen=True, slots=True)
class Remembered:
    """A command that was decided: its content's fingerprint, its answer, until when it is kept.

    For a spend `decision.change` and `decision.top_up_changes` say what a refund gives back;
    `refunded`: it was undone already.
    """

    command_id: UUID
    fingerprint: str
    decision: QuotaDecision
    keep_until: datetime
    refunded: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What a command makes of an account: the account after it, the answer, what to remember.

    `account` is the very same object when nothing changed, None when there was none. `remember`
    holds the entries to write: the command's own, for a refund its spend's, for a restore all
    that it brings.
    """

    account: Account | None
    decision: QuotaDecision
    remember: tuple[Remembered, ...] = field(default=())
