"""What a reconciliation finds."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from schemas.billing import UsageCommand

Kind = Literal["missing", "double", "wrong value", "waiting", "stripe differs", "customer unknown"]

SETTLED: Final = timedelta(minutes=5)
"""So long after a report Stripe's sums and ours may not have it yet."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference: what there should be in units, what there is, and the commands that help.

    `problem` says why none do. `at`: when it was used, or the hour. `second_run`: what is taken
    back with it is reported again by the next run, when Stripe has taken it back.
    """

    kind: Kind
    at: datetime
    expected: int
    found: int
    says: str
    event_id: UUID | None = None
    report_id: UUID | None = None
    commands: tuple[UsageCommand, ...] = ()
    problem: str = ""
    second_run: bool = False
