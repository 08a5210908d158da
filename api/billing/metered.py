"""What has been metered of a user in a period, and what that costs, exactly."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact
from typing import Final

from api.billing.customers import Customer, Stretch, epoch_us
from api.clickhouse import ClickHouseReader

# `states` has each report as its row of the highest number says. In one tuple, since argMax passes
# over NULL: it would take `within` from an earlier row than the rest.
#
# Whose: what lies with any customer that the user ever was, and what of the user lies with none.
# Both begin the table's key. A report that went to a former customer is found there, so that its
# first row, without a customer, is not taken for one that waits; it is on that customer's bill.
#
# What Stripe has counted: `sent`, but only of reports that are within no other. Those within one
# are `collected`, and counted by the one they are within, with its value.
# What waits: `pending` and `uncertain`, and `collected` where the report that they are within is
# not written yet (a window that is still open). Once it is written its own state counts: the
# subquery holds those that sum up others, which alone have no event.
#
# Rows are looked for a day further on either side, since a report's time may differ between its
# rows: a time ahead of Stripe's clock is sent as now, and a window spans a day at most. What counts
# is the time in its last row, which Stripe was told.
_METERED: Final = """
WITH
    fromUnixTimestamp64Micro({start:Int64}) AS period_start,
    fromUnixTimestamp64Micro({end:Int64}) AS period_end,
    period_start - INTERVAL 1 DAY AS first,
    period_end + INTERVAL 1 DAY AS last,
    customers AS (SELECT customer_id FROM stripe_customers WHERE user_id = {user_id:String}),
    states AS (
        SELECT argMax(tuple(meter, value, state, within, occurred_at, customer_id), number) AS s
        FROM usage_reports
        WHERE (
            customer_id IN (SELECT customer_id FROM customers)
            OR (customer_id = '' AND user_id = {user_id:String})
          )
          AND occurred_at >= first
          AND occurred_at < last
        GROUP BY report_id
    )
SELECT
    s.1,
    sumIf(s.2, s.3 = 'sent' AND isNull(s.4)),
    sumIf(
        s.2,
        (s.3 IN ('pending', 'uncertain') AND isNull(s.4))
        OR (
            s.3 = 'collected'
            AND ifNull(s.4, toUUID('00000000-0000-0000-0000-000000000000')) NOT IN (
                SELECT report_id
                FROM usage_reports
                WHERE customer_id IN (SELECT customer_id FROM customers)
                  AND occurred_at >= first
                  AND occurred_at < last
                  AND isNull(event_id)
            )
        )
    )
FROM states
WHERE s.5 >= period_start
  AND s.5 < period_end
  AND s.6 IN ('', {customer_id:String})
GROUP BY s.1
"""

# Units have up to 20 digits and prices up to 18: whatever would be rounded raises instead.
_EXACT: Final = Context(prec=100, traps=[Inexact])
_HUNDREDTHS: Final = 2


@dataclass(frozen=True, slots=True)
class Units:
    """Of one meter: those that Stripe has counted, and those that wait to be sent or confirmed."""

    counted: int
    pending: int


NONE: Final = Units(0, 0)


async def metered(
    clickhouse: ClickHouseReader, user_id: str, customer: Customer | None, period: Stretch
) -> Mapping[str, Units]:
    """Units by meter; meters without any are left out. Raises as ClickHouseReader.ask."""
    rows = await clickhouse.ask(
        _METERED,
        {
            "user_id": user_id,
            "customer_id": "" if customer is None else customer.customer_id,
            "start": epoch_us(period.start),
            "end": epoch_us(period.end),
        },
    )
    return {
        str(meter): Units(int(str(counted)), int(str(pending))) for meter, counted, pending in rows
    }


def amount_of(units: int, unit_amount: Decimal) -> Decimal:
    """What so many units cost, in whole units of the currency; `unit_amount` is in hundredths."""
    return _EXACT.scaleb(_EXACT.multiply(Decimal(units), unit_amount), -_HUNDREDTHS)


def total_of(amounts: Iterable[Decimal]) -> Decimal:
    """Their sum."""
    total = Decimal(0)
    for amount in amounts:
        total = _EXACT.add(total, amount)
    return total


def written(amount: Decimal, places: int = 0) -> str:
    """As digits without an exponent, with so many places or as many as it needs."""
    shortest = _EXACT.normalize(amount)
    exponent = shortest.as_tuple().exponent
    # Not a number has a letter there; no amount is that.
    needed = -exponent if isinstance(exponent, int) else 0
    return f"{amount:.{max(places, needed)}f}"
