"""Which period contains a moment: calendar months, and a subscription's own cadence, in UTC.

Nothing here is longer than a few comparisons, however much time has passed: an account may wake
up after years. No period ends after LATEST_MOMENT, the end of what can be stored.
"""

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from schemas.quotas import LATEST_MOMENT, Period

_DAY: Final = timedelta(days=1)
_MONTH_DAYS: Final = range(28, 32)
_YEAR_DAYS: Final = range(365, 367)


class Stretch(NamedTuple):
    """From `start` up to, not with, `end`."""

    start: datetime
    end: datetime


def in_utc(period: Period) -> Stretch:
    """A period as it lies on Kafka, in any zone."""
    return Stretch(period.start.astimezone(UTC), period.end.astimezone(UTC))


def calendar_month(moment: datetime) -> Stretch:
    """The month in UTC that contains the moment."""
    first = datetime(moment.year, moment.month, 1, tzinfo=UTC)
    return Stretch(first, _on(_month(first) + 1, 1, first))


def anchor_day(period: Stretch) -> int:
    """The day of the month on which a subscription with this period renews, 1 to 31.

    In a month that lacks the day it renews on the last, so both ends of the period are looked at:
    one from 28 February to 31 March renews on the 31st.
    """
    day = max(period.start.day, period.end.day)
    whole = all(_on(_month(each), day, each) == each for each in period)
    return day if whole else period.end.day


def subscription_period(period: Stretch, anchor: int, moment: datetime) -> Stretch:
    """The period that contains the moment, when this one has ended by then and goes on as it was.

    Monthly when it is 28 to 31 days long, yearly at 365 or 366, else by its own length. `anchor`
    as `anchor_day`; counted from it, so that the 31st is the 31st again after February.
    """
    length = period.end - period.start
    months = _months(length)
    if not months:
        start = period.start + (moment - period.start) // length * length
        return Stretch(start, min(LATEST_MOMENT, start + length))
    first = _month(period.end)
    month = first + (_month(moment) - first) // months * months
    if _on(month, anchor, period.end) > moment:
        month -= months
    return Stretch(
        _on(month, anchor, period.end),
        min(LATEST_MOMENT, _on(month + months, anchor, period.end)),
    )


def _months(length: timedelta) -> int:
    days, rest = divmod(length, _DAY)
    if rest:
        return 0
    return 1 if days in _MONTH_DAYS else 12 if days in _YEAR_DAYS else 0


def _month(moment: datetime) -> int:
    return moment.year * 12 + moment.month - 1


def _on(month: int, day: int, time_of: datetime) -> datetime:
    """The day of the month, the last when it lacks that one, at the other's time of day."""
    year, month_before = divmod(month, 12)
    last = monthrange(year, month_before + 1)[1]
    return time_of.replace(year=year, month=month_before + 1, day=min(day, last))
