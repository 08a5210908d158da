"""Holds ClickHouse's events, the ledger of reports and Stripe's sums against each other."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

from deploy.billing.clickhouse_questions import Questions
from deploy.billing.findings import SETTLED, Finding
from deploy.billing.reconciling import compare
from deploy.billing.standing import Span, Standing
from deploy.billing.stripe_totals import StripeTotals
from deploy.billing.usage_read import Day, UsageRead
from schemas.meters import Meter, Meters

MOST_FINDINGS: Final = 100_000
"""Of one run: more are found by the next, when these are fixed."""

EVENTS_AT_ONCE: Final = 200_000
CUSTOMERS_AT_ONCE: Final = 500
"""Of which single events and reports are read together."""

_Hours = dict[datetime, int]


@dataclass(slots=True)
class Row:
    """Units of a customer and meter as the three have them, and what explains a difference.

    `ledger` are reports that Stripe has answered, and those without an answer that it has counted.
    """

    customer_id: str
    meter: str
    events: int
    ledger: int
    stripe: int
    findings: list[Finding] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        return bool(self.findings) or self.ledger != self.stripe


@dataclass(frozen=True, slots=True)
class Reconciled:
    """All customers with use or reports; `whole`: whether everything was looked at."""

    rows: Sequence[Row]
    whole: bool


def settled_end(end: datetime, now: datetime) -> datetime:
    """The end of the last whole hour, up to `end`, that nothing is on its way of any more."""
    last = (now - SETTLED).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return min(end, last)


async def reconcile(
    questions: Questions,
    stripe: StripeTotals,
    meters: Meters,
    names: Sequence[str],
    span: Span,
    customer: str = "",
) -> Reconciled:
    """Of the meters of these names. Sums first; single events of the days alone that differ.

    `span` begins and ends with an hour. Raises as Questions and StripeTotals do.
    """
    rows: list[Row] = []
    whole = True
    for name in names:
        meter = meters.meters[name]
        read = UsageRead(questions, meter, meters)
        days = await asyncio.to_thread(read.days, span.start, span.end, customer)
        one = _OneMeter(read, stripe, meter, span, days)
        left = MOST_FINDINGS - sum(len(row.findings) for row in rows)
        rows += await one.rows(left)
        whole = whole and one.whole
    return Reconciled(sorted(rows, key=lambda row: (row.customer_id, row.meter)), whole)


@dataclass(slots=True)
class _OneMeter:
    read: UsageRead
    stripe: StripeTotals
    meter: Meter
    span: Span
    days: Mapping[str, Mapping[date, Day]]
    whole: bool = True

    async def rows(self, most: int) -> list[Row]:
        found = await asyncio.gather(*(self._sums(each) for each in self.days))
        differing = [row for row in found if self._differs(row)]
        hours = await asyncio.gather(*(self._hours(row) for row in differing))
        hours_of = {row.customer_id: each for row, each in zip(differing, hours, strict=True)}
        rows = {row.customer_id: row for row in differing}
        for row in differing:
            # Of one reading, so that hours add up to it.
            row.stripe = sum(hours_of[row.customer_id].values())
        for day, customers in self._to_look_at(hours_of):
            for some in self._portions(day, customers):
                if most <= 0:
                    self.whole = False
                    return found
                most -= await self._look_at(day, some, rows, hours_of)
        return found

    async def _sums(self, customer: str) -> Row:
        days = self.days[customer].values()
        told = await self.stripe.sum(self.meter, customer, self.span.start, self.span.end)
        return Row(
            customer,
            self.meter.name,
            sum(day.used for day in days),
            sum(day.ledger for day in days),
            told,
        )

    async def _hours(self, row: Row) -> _Hours:
        return await self.stripe.hours(self.meter, row.customer_id, self.span.start, self.span.end)

    def _differs(self, row: Row) -> bool:
        faults = any(day.faults for day in self.days[row.customer_id].values())
        return faults or row.ledger != row.stripe

    def _to_look_at(self, hours_of: Mapping[str, _Hours]) -> Iterator[tuple[date, list[str]]]:
        """Days with the customers for whom they differ, the earliest first."""
        found: dict[date, list[str]] = {}
        for customer, hours in hours_of.items():
            told: dict[date, int] = {}
            for hour, units in hours.items():
                told[hour.date()] = told.get(hour.date(), 0) + units
            days = self.days[customer]
            for day in days.keys() | told.keys():
                sums = days.get(day, Day())
                if sums.faults or sums.ledger != told.get(day, 0):
                    found.setdefault(day, []).append(customer)
        yield from sorted(found.items())

    def _portions(self, day: date, customers: Iterable[str]) -> Iterator[list[str]]:
        some: list[str] = []
        events = 0
        for customer in customers:
            count = self.days[customer].get(day, Day()).events
            if some and (events + count > EVENTS_AT_ONCE or len(some) == CUSTOMERS_AT_ONCE):
                yield some
                some, events = [], 0
            some.append(customer)
            events += count
        yield some

    async def _look_at(
        self,
        day: date,
        customers: Sequence[str],
        rows: Mapping[str, Row],
        hours: Mapping[str, _Hours],
    ) -> int:
        """Adds what is found to the rows; returns how much that is."""
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        span = Span(
            max(start, self.span.start),
            min(start + timedelta(days=1), self.span.end),
            self.span.now,
        )
        single = await asyncio.to_thread(self.read.single, span.start, span.end, customers)
        count = 0
        for customer in customers:
            of_day = {at: units for at, units in hours[customer].items() if span.holds(at)}
            of_customer = single[customer]
            standing = Standing(
                customer, self.meter.name, of_customer.events, of_customer.reports, span
            )
            compared = compare(standing, of_day)
            rows[customer].findings += compared.findings
            rows[customer].ledger += compared.counted
            count += len(compared.findings)
        return count
