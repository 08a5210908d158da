"""A user's account as the table keeps it: plain values, no Kafka, no Faust."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from schemas.quotas import QuotaDecision


@dataclass(frozen=True, slots=True)
class HeldTopUp:
    """A top-up: what is left, what of it was used in the running period, when it ends.

    `ends_at` None: it lasts until it is used.
    """

    top_up_id: UUID
    left: int
    used_in_period: int = 0
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """Where a user stands. Amounts in credits, `[period_start, period_end)` in UTC.

    `subscription`: the period is a subscription's own, else a calendar month.
    `used`: credits of the plan used in the period, without those of top-ups.
    `crossed`: thresholds (percent) that were published in the period.
    `changes`: how many changes the account has seen, the number of the last.
    `latest`: the latest time of any command; time never goes back.
    """

    user_id: str
    plan: str
    period_start: datetime
    period_end: datetime
    subscription: bool = False
    used: int = 0
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

    `account` is the very same object when nothing changed. `remember` holds the entries to
    write: the command's own, and for a refund its spend's.
    """

    account: Account
    decision: QuotaDecision
    remember: tuple[Remembered, ...] = field(default=())
