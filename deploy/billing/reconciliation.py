"""Holds ClickHouse's events, the ledger of reports and Stripe's sums against each other."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

from deploy.billing.clickhouse_questions import Questions
from deploy.billing.findings import SETTLED, Finding
from deploy.billing.neighbours import NEAR, HourDiffers, netted
from deploy.billing.reconciling import compare
from deploy.billing.standing import Span, Standing
from deploy.billing.stripe_hours import HoursSeen, decide_uncertain, hour_findings, hours_seen
from deploy.billing.stripe_totals import StripeTotals
from deploy.billing.usage_read import Day, UsageRead
from schemas.meters import Meter, Meters

MOST_FINDINGS: Final = 100_000
"""Of one run: more are found by the next, when these are fixed."""

EVENTS_AT_ONCE: Final = 200_000
CUSTOMERS_AT_ONCE: Final = 500
"""Of which single events and reports are read together."""
EDGES_AT_ONCE: Final = 50
"""Customers of whom a day beside the span is read together."""

UNKNOWN: Final = (
    "is STRIPE_API_KEY a key of the account, live or test, that the billing worker reports to? If "
    "so, the customer is deleted at Stripe"
)

_Hours = dict[datetime, int]


@dataclass(slots=True)
class Row:
    """Units of a customer and meter as the three have them, and what explains a difference.

    `ledger` are reports that Stripe has answered, and those without an answer that it has counted,
    in the hours in which it has. `known`: whether Stripe has the customer; else it is compared with
    nothing.
    """

    customer_id: str
    meter: str
    events: int
    ledger: int
    stripe: int
    findings: list[Finding] = field(default_factory=list)
    known: bool = True

    @property
    def differs(self) -> bool:
        return bool(self.findings) or self.ledger != self.stripe


@dataclass(frozen=True, slots=True)
class Reconciled:
    """All customers with use or reports; `whole`: whether everything was looked at."""

    rows: Sequence[Row]
    whole: bool

    @property
    def of_other_account(self) -> bool:
        """Whether Stripe has none of the customers, so most likely the key is the wrong one."""
        return bool(self.rows) and not any(row.known for row in self.rows)


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
    seen: defaultdict[str, HoursSeen] = field(default_factory=lambda: defaultdict(HoursSeen))
    """By customer: hours are held against each other when those of all days are known."""

    async def rows(self, most: int) -> list[Row]:
        found = await asyncio.gather(*(self._sums(each) for each in self.days))
        if not all(row.known for row in found) and not any(row.stripe for row in found):
            # Most likely it is another account: also those of whom nothing was told are not its.
            await asyncio.gather(*(self._check(row) for row in found if row.known))
        differing = [row for row in found if row.known and self._differs(row)]
        hours = await asyncio.gather(*(self._hours(row) for row in differing))
        hours_of: dict[str, _Hours] = {}
        rows = {row.customer_id: row for row in differing}
        for row, of_row in zip(differing, hours, strict=True):
            if of_row is None:
                self._unknown(row)
                continue
            hours_of[row.customer_id] = of_row
            # Of one reading, so that hours add up to it.
            row.stripe = sum(of_row.values())
        await self._days(hours_of, rows, most)
        await self._near_hours(rows)
        for row in differing:
            row.findings.sort(key=lambda each: each.at)
        return found

    async def _days(
        self, hours_of: Mapping[str, _Hours], rows: Mapping[str, Row], most: int
    ) -> None:
        for day, customers in self._to_look_at(hours_of):
            for some in self._portions(day, customers):
                if most <= 0:
                    self.whole = False
                    return
                most -= await self._look_at(day, some, rows, hours_of)

    async def _sums(self, customer: str) -> Row:
        days = self.days[customer].values()
        told = await self.stripe.sum(self.meter, customer, self.span.start, self.span.end)
        row = Row(
            customer,
            self.meter.name,
            sum(day.used for day in days),
            sum(day.ledger for day in days),
            told or 0,
        )
        # Nothing at all may be that of another account, or of one that is deleted: what Stripe does
        # not know must not be taken for what it lost.
        doubtful = told == 0 and (row.ledger > 0 or any(day.unanswered for day in days))
        if told is None:
            self._unknown(row)
        elif doubtful:
            await self._check(row)
        return row

    async def _check(self, row: Row) -> None:
        if not await self.stripe.knows(row.customer_id):
            self._unknown(row)

    def _unknown(self, row: Row) -> None:
        row.known, row.stripe = False, 0
        says = "Stripe has no such customer"
        row.findings.append(
            Finding(
                "customer unknown", self.span.start, row.events, row.stripe, says, problem=UNKNOWN
            )
        )

    async def _hours(self, row: Row) -> _Hours | None:
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
            self.seen[customer].add(compared.hours)
            count += len(compared.findings) + len(compared.hours.differing)
        return count

    async def _near_hours(self, rows: Mapping[str, Row]) -> None:
        """Adds what is found of hours, when those near each other have made up for one another."""
        start, end = self.span.start, self.span.end
        before = Span(start - NEAR, start, self.span.now)
        after = Span(end, settled_end(end + NEAR, self.span.now), self.span.now)
        left = {customer: netted(seen.differing) for customer, seen in self.seen.items()}
        # What Stripe counts in another hour than the ledger has may be beside the span.
        short = (name for name, hours in left.items() if _any(hours, start, start + NEAR, 1))
        await self._read_beside(before, list(short))
        over = (name for name, hours in left.items() if _any(hours, end - NEAR, end, -1))
        if after.start < after.end:
            await self._read_beside(after, list(over))
        for customer, seen in self.seen.items():
            hours = netted(seen.differing)
            row = rows[customer]
            row.findings += hour_findings(customer, self.meter.name, self.span, seen, hours)
            row.ledger += sum(each.moved for each in hours if self.span.holds(each.at))

    async def _read_beside(self, span: Span, customers: Sequence[str]) -> None:
        for first in range(0, len(customers), EDGES_AT_ONCE):
            some = customers[first : first + EDGES_AT_ONCE]
            reports = await asyncio.to_thread(self.read.reports, span.start, span.end, some)
            hours = await asyncio.gather(
                *(self.stripe.hours(self.meter, each, span.start, span.end) for each in some)
            )
            for customer, of_customer in zip(some, hours, strict=True):
                standing = Standing(customer, self.meter.name, (), reports[customer], span)
                decide_uncertain(standing, of_customer or {})
                self.seen[customer].add(hours_seen(standing, of_customer or {}))


def _any(hours: Iterable[HourDiffers], start: datetime, end: datetime, sign: int) -> bool:
    """Whether one of them is short (`sign` 1) of something, or has too much (-1)."""
    return any(start <= each.at < end and each.short * sign > 0 for each in hours)
