"""Compares a customer's events, their reports and Stripe's hours, and finds what explains them.

Nothing is asked or sent here: what comes in is all there is, what goes out says what would help.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from deploy.billing.corrections import next_report_id, speakable
from deploy.billing.findings import SETTLED, Finding, Kind
from deploy.billing.standing import Report, Standing, UsedEvent
from deploy.billing.stripe_hours import HoursSeen, decide_uncertain, hours_seen
from schemas.billing import CancelReport, CustomerLinked, UsageCommand, UsageCounted


@dataclass(frozen=True, slots=True)
class Compared:
    """`counted`: units of reports without an answer that Stripe's hours hold: they were sent.

    `hours` become findings when those of the customer's other days are known: see hour_findings.
    """

    findings: Sequence[Finding]
    counted: int
    hours: HoursSeen


def compare(standing: Standing, hours: Mapping[datetime, int]) -> Compared:
    """What explains the differences of a span, and what would end them; changes `standing`.

    Its events are all of the span; its reports theirs, those that Stripe counts in the span, and
    the whole windows of them. `hours`: Stripe's sums by the hour's start, 0 left out.
    """
    counted = decide_uncertain(standing, hours)
    comparison = _Comparison(standing)
    findings = [
        # Windows first: what is taken back with one is then known where events are looked at.
        *comparison.windows(),
        *comparison.of_events(),
        *comparison.of_no_event(),
    ]
    return Compared(findings, counted, hours_seen(standing, hours))


@dataclass(slots=True)
class _Comparison:
    standing: Standing
    again: set[UUID] = field(default_factory=set)
    """Events that the next run counts again, since a finding takes back their report."""

    def windows(self) -> Iterator[Finding]:
        """Sums that are not those of what is within them."""
        for each in list(self.standing.sent_in_span()):
            members = self.standing.inside.get(each.report_id, [])
            total = sum(member.units for member in members)
            if each.event_id is None and total != each.units:
                kind: Kind = "wrong value" if members else "double"
                says = f"the report of a window says {each.units:,} units, its events {total:,}"
                yield self._take_back(kind, each, total, says)

    def of_events(self) -> Iterator[Finding]:
        for event in self.standing.events:
            if event.event_id in self.again:
                continue
            reports = self.standing.of_event.get(event.event_id, [])
            sent = [each for each in reports if self.standing.is_sent(each)]
            if sent:
                yield from self._of_sent(event, sent)
            elif event.units and not self._is_taken_back(reports):
                yield self._missing(event, reports)

    def of_no_event(self) -> Iterator[Finding]:
        for event_id, reports in self.standing.of_event.items():
            if event_id in self.standing.units_of:
                continue
            for each in reports:
                # Of what was told after the events were read, its event may be there by now.
                if each.at > self.standing.span.now or not self.standing.is_of_none(each):
                    continue
                if self.standing.is_sent(each):
                    yield self._take_back("double", each, 0, "reported, but there is no such event")

    def _of_sent(self, event: UsedEvent, sent: Sequence[Report]) -> Iterator[Finding]:
        kept = self._kept(event, sent)
        for each in sent:
            if each is kept:
                continue
            if kept is not None:
                yield self._take_back("double", each, 0, "reported more than once")
            else:
                says = f"reported with {each.units:,} units instead of {event.units:,}"
                yield self._take_back("wrong value", each, event.units, says)

    def _kept(self, event: UsedEvent, sent: Sequence[Report]) -> Report | None:
        """The one report that stays: a right one, rather one that cannot be taken back."""
        right = [each for each in sent if each.units == event.units]
        lasting = [
            each for each in right if not self.standing.span.can_cancel(self.standing.top(each))
        ]
        return next(iter(lasting or right), None)

    def _is_taken_back(self, reports: Iterable[Report]) -> bool:
        """Whether it has no report only because of a finding that says so already."""
        return any(each.told_as in self.standing.taken_back for each in reports)

    def _missing(self, event: UsedEvent, reports: Sequence[Report]) -> Finding:
        states = [self.standing.state(each) for each in reports]
        for report, state in zip(reports, states, strict=True):
            if state in {"pending", "collected"}:
                return self._waiting(event, report)
        problem = self.standing.span.too_old(event.occurred_at)
        lately = self.standing.span.now - SETTLED
        if not problem and any(
            state == "uncertain" and self.standing.top(each).at > lately
            for each, state in zip(reports, states, strict=True)
        ):
            problem = "Stripe may have counted it; run this again in 5 minutes"
        return Finding(
            "missing",
            event.occurred_at,
            event.units,
            0,
            f"its report is {states[-1]}" if states else "not reported",
            event.event_id,
            reports[-1].report_id if reports else None,
            () if problem else (self._count(event),),
            problem,
        )

    def _waiting(self, event: UsedEvent, report: Report) -> Finding:
        """It is on its way: to count it again would bill it twice."""
        commands: tuple[UsageCommand, ...] = ()
        problem = "it is reported when its window ends; does the billing worker run?"
        if report.state == "pending":
            problem = "its user cannot be named; link the customer by metadata.user_id at Stripe"
            if user := speakable(report.user_id):
                linked = CustomerLinked(user_id=user, customer_id=self.standing.customer)
                commands, problem = (linked,), ""
        return Finding(
            "waiting",
            event.occurred_at,
            event.units,
            0,
            f"its report is {report.state}",
            event.event_id,
            report.report_id,
            commands,
            problem,
        )

    def _take_back(self, kind: Kind, report: Report, expected: int, says: str) -> Finding:
        """Cancels it, no more: what is lost with it is billed twice if Stripe refuses that.

        When it is cancelled, the next run finds missing what has no other report.
        """
        top = self.standing.top(report)
        lost = list(self._lost_with(top, report if kind == "double" else None))
        problem = next(
            filter(None, (self.standing.span.too_old(each.occurred_at) for each in lost)), ""
        )
        if not self.standing.span.can_cancel(top):
            problem = (
                "it was reported 21 hours ago or earlier, and Stripe takes nothing back that it "
                "got 24 hours ago"
            )
        commands: tuple[UsageCommand, ...] = ()
        if not problem:
            self.standing.taken_back.add(top.report_id)
            self.again.update(each.event_id for each in lost if each.event_id is not None)
            cancel = CancelReport(
                customer_id=self.standing.customer,
                report_id=top.report_id,
                reason=f"reconciled: {kind}",
            )
            commands = (cancel,)
        return Finding(
            kind,
            report.occurred_at,
            expected,
            report.units,
            says,
            report.event_id,
            top.report_id,
            commands,
            problem,
            second_run=bool(commands and lost),
        )

    def _lost_with(self, top: Report, extra: Report | None) -> Iterator[Report]:
        """A report of each event that has none at Stripe any more when `top` is taken back."""
        seen: set[UUID] = set()
        for each in self.standing.inside.get(top.report_id) or [top]:
            if each is extra or each.event_id is None or each.corrects or each.event_id in seen:
                continue
            seen.add(each.event_id)
            units = self.standing.units_of.get(each.event_id, each.units)
            if units == 0 or self.standing.is_of_none(each):
                continue
            if not any(
                self.standing.is_sent(other) and other.told_as != top.report_id
                for other in self.standing.of_event[each.event_id]
            ):
                yield each

    def _count(self, event: UsedEvent) -> UsageCounted:
        return UsageCounted(
            report_id=next_report_id(event.event_id, self.standing.meter, self.standing.known),
            event_id=event.event_id,
            meter=self.standing.meter,
            value=event.units,
            occurred_at=event.occurred_at,
            user_id=speakable(event.user_id),
            customer_id=self.standing.customer,
        )
