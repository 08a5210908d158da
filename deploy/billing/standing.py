"""A customer's events and how the reports of them stand, in hours that are looked at."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from schemas.billing import CANCELLABLE, REPORTABLE, ReportState

CANCEL_WITHIN: Final = CANCELLABLE - timedelta(hours=3)
"""Of the time of Stripe's answer: it may have got the report before that, and take nothing back."""


@dataclass(frozen=True, slots=True)
class UsedEvent:
    """An event as a meter counts it; `units` 0: it is not to be billed."""

    event_id: UUID
    occurred_at: datetime
    units: int
    user_id: str


@dataclass(frozen=True, slots=True)
class Report:
    """How a report stands, since `at`; `customer_id` '': not known. See UsageReport."""

    report_id: UUID
    event_id: UUID | None
    within: UUID | None
    units: int
    occurred_at: datetime
    user_id: str
    customer_id: str
    state: ReportState
    at: datetime

    @property
    def counted_at(self) -> datetime:
        """The time that Stripe was told, which is never ahead of its sending.

        Of one that was ahead it is the latest that it can be: `at` is when Stripe answered, which
        may be in a later hour than when it was sent.
        """
        return min(self.occurred_at, self.at)

    @property
    def corrects(self) -> bool:
        """Whether it is no event's, but makes up for what Stripe lost."""
        return self.event_id == self.report_id

    @property
    def told_as(self) -> UUID:
        """The report that Stripe knows: the window's, where it is within one."""
        if self.state == "collected" and self.within is not None:
            return self.within
        return self.report_id


@dataclass(frozen=True, slots=True)
class Span:
    """The hours from `start` to, not with, `end`, as things stand `now`."""

    start: datetime
    end: datetime
    now: datetime

    def holds(self, moment: datetime) -> bool:
        return self.start <= moment < self.end

    def can_cancel(self, top: Report) -> bool:
        return top.at > self.now - CANCEL_WITHIN

    def too_old(self, at: datetime) -> str:
        """Why what was used then cannot be reported; '': it can."""
        return "" if at > self.now - REPORTABLE else "Stripe takes nothing older than 35 days"


@dataclass(slots=True)
class Standing:
    """The reports by what they are about; `reports` in the order of `at`.

    `counted`: those without an answer that Stripe has counted. `taken_back`: those that are to be
    cancelled. Both hold what Stripe knows: reports of events alone, or of windows.
    """

    customer: str
    meter: str
    events: Sequence[UsedEvent]
    reports: Sequence[Report]
    span: Span
    counted: set[UUID] = field(default_factory=set)
    taken_back: set[UUID] = field(default_factory=set)
    known: set[UUID] = field(init=False)
    units_of: dict[UUID, int] = field(init=False)
    tops: dict[UUID, Report] = field(init=False, default_factory=dict)
    inside: defaultdict[UUID, list[Report]] = field(init=False)
    of_event: defaultdict[UUID, list[Report]] = field(init=False)

    def __post_init__(self) -> None:
        self.known = {each.report_id for each in self.reports}
        self.units_of = {each.event_id: each.units for each in self.events}
        self.inside, self.of_event = defaultdict(list), defaultdict(list)
        for each in self.reports:
            if each.told_as == each.report_id:
                self.tops[each.report_id] = each
            else:
                self.inside[each.told_as].append(each)
            if each.event_id is not None and not each.corrects:
                self.of_event[each.event_id].append(each)

    def sent_in_span(self) -> Iterator[Report]:
        """What Stripe has counted in the span, also where it is to be taken back."""
        for each in self.tops.values():
            if self.span.holds(each.counted_at) and self.was_sent(each):
                yield each

    def was_sent(self, top: Report) -> bool:
        return top.state == "sent" or top.report_id in self.counted

    def is_sent(self, report: Report) -> bool:
        """Whether Stripe has counted it, by itself or in a window, and goes on counting it."""
        top = self.tops.get(report.told_as)
        return top is not None and self.was_sent(top) and top.report_id not in self.taken_back

    def state(self, report: Report) -> ReportState:
        """Of the window where it is within one that was reported."""
        return self.top(report).state

    def top(self, report: Report) -> Report:
        return self.tops.get(report.told_as, report)

    def is_of_none(self, report: Report) -> bool:
        """Whether its event would be among the events if there were one, and is not."""
        return self.span.holds(report.occurred_at) and report.event_id not in self.units_of
