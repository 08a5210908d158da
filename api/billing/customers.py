"""Who a user is at Stripe, as the billing worker last said."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from api.clickhouse import ClickHouseReader
from schemas.limits import EARLIEST_OCCURRED_AT

# The table's key read backwards: within a user by arrival, the offset orders what came together.
_LATEST: Final = """
SELECT
    customer_id, plan, status,
    toUnixTimestamp64Micro(period_start), toUnixTimestamp64Micro(period_end)
FROM stripe_customers
WHERE user_id = {user_id:String}
ORDER BY
    user_id DESC, received_at DESC,
    change_topic DESC, change_partition DESC, change_incarnation DESC, change_offset DESC
LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Stretch:
    """From `start` up to, not with, `end`, both in UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Customer:
    """A user as Stripe's customer. `status` and `period`: None where there is no subscription."""

    customer_id: str
    plan: str
    status: str | None
    period: Stretch | None


async def customer_of(clickhouse: ClickHouseReader, user_id: str) -> Customer | None:
    """The customer; None: the user is none yet. Raises a 503 Problem as ClickHouseReader.ask."""
    rows = await clickhouse.ask(_LATEST, {"user_id": user_id})
    if not rows:
        return None
    [(customer_id, plan, status, start, end)] = rows
    period = None if start is None or end is None else Stretch(_moment_of(start), _moment_of(end))
    return Customer(str(customer_id), str(plan), str(status) or None, period)


def running_period(customer: Customer | None, now: datetime) -> Stretch:
    """The subscription's period, unless it is over; else the calendar month in UTC."""
    if customer is not None and customer.period is not None and now < customer.period.end:
        return customer.period
    start = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    # No month has 32 days, and each has more than 4.
    return Stretch(start, (start + timedelta(days=32)).replace(day=1))


def epoch_us(moment: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (moment - EARLIEST_OCCURRED_AT) // timedelta(microseconds=1)


def _moment_of(us: object) -> datetime:
    return EARLIEST_OCCURRED_AT + timedelta(microseconds=int(str(us)))
