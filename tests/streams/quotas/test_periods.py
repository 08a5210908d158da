"""Periods: calendar months in UTC, and subscriptions that renew as they did."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.quotas import LATEST_MOMENT, Period
from streams.quotas.periods import (
    Stretch,
    anchor_day,
    calendar_month,
    in_utc,
    subscription_period,
)
from tests.streams.quotas.journal import month_of, next_month, renewal_day, walked

MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def stretch(start: str, end: str) -> Stretch:
    return Stretch(day(start), day(end))


def renewals(first: Stretch, count: int) -> list[str]:
    """The days on which it renews, asked for one by one as time passes."""
    anchor = anchor_day(first)
    period = first
    days = []
    for _ in range(count):
        days.append(period.end.date().isoformat())
        period = subscription_period(period, anchor, period.end)
    return days


@pytest.mark.parametrize(
    ("moment", "start", "end"),
    [
        ("2026-11-24T09:30", "2026-11-01", "2026-12-01"),
        ("2026-12-31T23:59:59.999999", "2026-12-01", "2027-01-01"),
        ("2028-02-29", "2028-02-01", "2028-03-01"),
        ("2027-01-01", "2027-01-01", "2027-02-01"),
    ],
)
def test_a_calendar_month_contains_its_first_moment_and_not_the_next_months(
    moment: str, start: str, end: str
) -> None:
    assert calendar_month(day(moment)) == stretch(start, end)


def test_the_last_month_ends_where_time_that_can_be_stored_does() -> None:
    assert calendar_month(LATEST_MOMENT - timedelta(microseconds=1)).end == LATEST_MOMENT


def test_the_31st_is_the_31st_again_after_a_short_month() -> None:
    first = stretch("2027-01-31T10:30", "2027-02-28T10:30")
    assert renewals(first, 5) == [
        "2027-02-28",
        "2027-03-31",
        "2027-04-30",
        "2027-05-31",
        "2027-06-30",
    ]


def test_a_period_that_begins_on_a_clipped_day_renews_on_the_real_one() -> None:
    assert renewals(stretch("2027-02-28", "2027-03-31"), 3) == [
        "2027-03-31",
        "2027-04-30",
        "2027-05-31",
    ]


def test_a_month_from_the_28th_is_not_taken_for_one_from_the_31st() -> None:
    assert renewals(stretch("2027-02-28", "2027-03-28"), 2) == ["2027-03-28", "2027-04-28"]


def test_30_days_that_are_no_month_renew_monthly_from_their_end() -> None:
    assert renewals(stretch("2027-01-05", "2027-02-04"), 3) == [
        "2027-02-04",
        "2027-03-04",
        "2027-04-04",
    ]


def test_a_year_from_29_february_is_on_it_again_in_the_next_leap_year() -> None:
    assert renewals(stretch("2024-02-29", "2025-02-28"), 5) == [
        "2025-02-28",
        "2026-02-28",
        "2027-02-28",
        "2028-02-29",
        "2029-02-28",
    ]


@pytest.mark.parametrize("days", [1, 7, 14, 27, 32, 90, 364, 367])
def test_any_other_length_renews_by_itself(days: int) -> None:
    first = stretch("2027-01-31", "2027-01-31")
    first = Stretch(first.start, first.start + timedelta(days=days))
    moment = first.start + timedelta(days=10 * days + 0.5)
    found = subscription_period(first, anchor_day(first), moment)
    assert found.start == first.start + timedelta(days=10 * days)
    assert found.end - found.start == timedelta(days=days)


def test_30_days_and_a_second_are_no_month() -> None:
    length = timedelta(days=30, seconds=1)
    first = Stretch(day("2027-01-31"), day("2027-01-31") + length)
    found = subscription_period(first, anchor_day(first), first.end)
    assert found == Stretch(first.end, first.end + length)


def test_a_period_in_another_zone_is_taken_in_utc() -> None:
    tokyo = timezone(timedelta(hours=9))
    period = Period(
        start=datetime(2027, 2, 1, 8, tzinfo=tokyo), end=datetime(2027, 3, 1, 8, tzinfo=tokyo)
    )
    assert in_utc(period) == stretch("2027-01-31T23:00", "2027-02-28T23:00")
    assert {each.tzinfo for each in in_utc(period)} == {UTC}
    assert anchor_day(in_utc(period)) == 31


@pytest.mark.parametrize("length", [timedelta(microseconds=1), timedelta(days=30_000)])
def test_no_period_is_too_short_or_too_long_to_go_on(length: timedelta) -> None:
    first = Stretch(day("1970-01-01"), day("1970-01-01") + length)
    moment = LATEST_MOMENT - timedelta(microseconds=1)
    found = subscription_period(first, anchor_day(first), moment)
    assert found.start <= moment < found.end <= LATEST_MOMENT


@given(MOMENTS)
def test_months_are_those_of_the_calendar(moment: datetime) -> None:
    assert calendar_month(moment) == month_of(moment)


@given(MOMENTS, st.integers(1, 400) | st.sampled_from([28, 30, 31, 365, 366]), st.data())
def test_periods_are_found_as_if_walked_through_one_by_one(
    start: datetime, days: int, data: st.DataObject
) -> None:
    first = Stretch(start, start + timedelta(days=days))
    moment = data.draw(st.datetimes(*bounds(first), timezones=st.just(UTC)))
    found = subscription_period(first, anchor_day(first), moment)
    assert found == walked(*first, renewal_day(*first), moment)


@given(MOMENTS, st.sampled_from([1, 12]), st.lists(st.integers(0, 900), min_size=1, max_size=8))
def test_it_does_not_matter_how_often_one_looks(
    start: datetime, months: int, days: list[int]
) -> None:
    end = start
    for _ in range(months):
        end = next_month(end, start.day)
    first = period = Stretch(start, end)
    anchor = anchor_day(first)
    moment = first.end
    for passed in days:
        moment += timedelta(days=passed)
        if moment >= period.end:
            period = subscription_period(period, anchor, moment)
        assert period == subscription_period(first, anchor, moment)
        assert period.start <= moment < period.end


@given(MOMENTS, st.integers(28, 31) | st.integers(365, 366))
def test_periods_follow_each_other_without_a_gap(start: datetime, days: int) -> None:
    first = Stretch(start, start + timedelta(days=days))
    anchor = anchor_day(first)
    periods = [first]
    for _ in range(15):
        periods.append(subscription_period(first, anchor, periods[-1].end))
    assert all(one.end == other.start for one, other in pairwise(periods))


def bounds(first: Stretch) -> tuple[datetime, datetime]:
    end = first.end.replace(tzinfo=None)
    return end, end + timedelta(days=1500)
