"""The running period, and amounts: exact, whatever their size."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.billing.customers import Customer, Stretch, running_period
from api.billing.metered import amount_of, total_of, written

NOW: Final = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
DAY: Final = timedelta(days=1)


def customer_in(period: Stretch | None) -> Customer:
    return Customer("cus_1", "pro", "active", period)


@pytest.mark.parametrize(
    ("now", "start", "end"),
    [
        ("2026-01-01T00:00:00+00:00", "2026-01-01", "2026-02-01"),
        ("2026-01-31T23:59:59.999999+00:00", "2026-01-01", "2026-02-01"),
        ("2028-02-29T12:00:00+00:00", "2028-02-01", "2028-03-01"),
        ("2026-12-31T23:59:59+00:00", "2026-12-01", "2027-01-01"),
        # In UTC it is another month.
        ("2026-12-31T23:30:00-01:00", "2027-01-01", "2027-02-01"),
    ],
)
def test_without_a_subscription_the_period_is_the_calendar_month_in_utc(
    now: str, start: str, end: str
) -> None:
    moment = datetime.fromisoformat(now)
    over = Stretch(moment - DAY, moment)
    for customer in (None, customer_in(None), customer_in(over)):
        period = running_period(customer, moment)
        assert period.start == datetime.fromisoformat(f"{start}T00:00:00+00:00")
        assert period.end == datetime.fromisoformat(f"{end}T00:00:00+00:00")


def test_a_period_that_stripe_has_begun_is_the_running_one_though_our_clock_is_behind() -> None:
    period = Stretch(NOW + timedelta(seconds=2), NOW + 30 * DAY)
    assert running_period(customer_in(period), NOW) == period


UNIT_AMOUNT: Final = st.decimals(0, 1_000_000, places=12)


@given(units=st.integers(0, 2**64 - 1), unit_amount=UNIT_AMOUNT)
def test_an_amount_is_exact_and_written_out(units: int, unit_amount: Decimal) -> None:
    text = written(amount_of(units, unit_amount), 2)
    assert Fraction(text) == Fraction(units) * Fraction(unit_amount) / 100
    whole, _, places = text.partition(".")
    assert whole.isdigit()
    assert len(places) >= 2
    assert len(places) == 2 or places[-1] != "0"


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), UNIT_AMOUNT), max_size=5))
def test_a_total_is_exact(lines: list[tuple[int, Decimal]]) -> None:
    total = total_of(amount_of(units, unit_amount) for units, unit_amount in lines)
    assert Fraction(total) == sum((Fraction(u) * Fraction(a) / 100 for u, a in lines), Fraction(0))


@pytest.mark.parametrize(
    ("amount", "text"),
    [("2", "2"), ("2.50", "2.5"), ("2E+3", "2000"), ("0.000", "0"), ("1E-12", "0.000000000001")],
)
def test_a_price_is_written_as_short_as_it_is(amount: str, text: str) -> None:
    assert written(Decimal(amount)) == text
