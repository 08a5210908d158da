"""What a billing worker and Stripe do with commands, in memory: to see where fixes lead."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from deploy.billing.neighbours import netted
from deploy.billing.reconciling import Compared, compare
from deploy.billing.standing import Report, Span, Standing, UsedEvent
from deploy.billing.stripe_hours import hour_findings
from schemas.billing import (
    CancelReport,
    CustomerLinked,
    ReportState,
    UsageCommand,
    UsageCounted,
    report_id_for,
    window_report_id_for,
)

CUSTOMER = "cus_1"
METER = "conversions"
DAY = datetime(2026, 11, 26, tzinfo=UTC)
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


class World:
    """One customer's day. `counted` is what Stripe has: the hour and units of each report."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now
        self.events: list[UsedEvent] = []
        self.reports: dict[UUID, Report] = {}
        self.counted: dict[UUID, tuple[datetime, int]] = {}
        self.cancels = True
        """Whether Stripe takes back what it is asked to."""

    def event(
        self, units: int = 1, *, hour: int = 9, report: ReportState | None = None
    ) -> UsedEvent:
        """An event, and where a state is named its report; Stripe counts what is sent."""
        at = DAY + timedelta(hours=hour, minutes=len(self.events) % 60)
        event = UsedEvent(uuid4(), at, units, "u-1")
        self.events.append(event)
        if report is not None:
            self.report(event, report)
        return event

    def report(
        self,
        event: UsedEvent,
        state: ReportState = "sent",
        *,
        units: int | None = None,
        revision: int = 0,
        age: timedelta = timedelta(hours=3),
        within: UUID | None = None,
    ) -> Report:
        report = Report(
            report_id_for(event.event_id, METER, revision),
            event.event_id,
            within,
            event.units if units is None else units,
            event.occurred_at,
            event.user_id,
            "" if state == "pending" else CUSTOMER,
            state,
            self.now - age,
        )
        self.put(report)
        return report

    def window(
        self,
        members: Iterable[UsedEvent],
        *,
        units: int | None = None,
        start: int = 0,
        state: ReportState = "sent",
        age: timedelta = timedelta(hours=3),
        revision: int = 0,
    ) -> Report:
        """A window at 9 o'clock with these events, sent as their sum unless `units` says else."""
        report_id = window_report_id_for(CUSTOMER, METER, start, 0)
        total = 0
        for event in members:
            self.report(event, "collected", within=report_id, revision=revision)
            total += event.units
        at = DAY + timedelta(hours=9)
        whole = Report(
            report_id,
            None,
            None,
            total if units is None else units,
            at,
            "",
            CUSTOMER,
            state,
            self.now - age,
        )
        self.put(whole)
        return whole

    def put(self, report: Report) -> None:
        self.reports[report.report_id] = report
        if report.state == "sent":
            at = report.counted_at.replace(minute=0, second=0, microsecond=0)
            self.counted[report.report_id] = (at, report.units)

    def hours(self) -> dict[datetime, int]:
        sums: dict[datetime, int] = {}
        for at, units in self.counted.values():
            sums[at] = sums.get(at, 0) + units
        return {at: units for at, units in sums.items() if units}

    def compared(self) -> Compared:
        reports = sorted(self.reports.values(), key=lambda each: (each.at, each.report_id))
        span = Span(DAY, DAY + timedelta(days=1), self.now)
        standing = Standing(CUSTOMER, METER, self.events, reports, span)
        compared = compare(standing, self.hours())
        hours = netted(compared.hours.differing)
        findings = [
            *compared.findings,
            *hour_findings(CUSTOMER, METER, span, compared.hours, hours),
        ]
        return replace(compared, findings=sorted(findings, key=lambda each: each.at))

    def commands(self) -> list[UsageCommand]:
        return [command for each in self.compared().findings for command in each.commands]

    def obey(self, commands: Iterable[UsageCommand]) -> None:
        """As the worker does, within a minute; then an hour passes."""
        self.now += timedelta(minutes=1)
        for command in commands:
            match command:
                case UsageCounted():
                    self._count(command)
                case CancelReport():
                    if not self.cancels:
                        continue
                    report = self.reports[command.report_id]
                    assert self.now - report.at < timedelta(hours=24)
                    self.put(replace(report, state="cancelled", at=self.now))
                    self.counted.pop(command.report_id, None)
                case CustomerLinked():
                    for report in list(self.reports.values()):
                        if report.state == "pending":
                            self.put(
                                replace(report, state="sent", customer_id=CUSTOMER, at=self.now)
                            )
        self.now += timedelta(hours=1)

    def _count(self, command: UsageCounted) -> None:
        if command.report_id in self.reports:
            return
        assert command.customer_id == CUSTOMER
        assert self.now - command.occurred_at < timedelta(days=35)
        self.put(
            Report(
                command.report_id,
                command.event_id,
                None,
                command.value,
                command.occurred_at,
                command.user_id or "",
                CUSTOMER,
                "sent",
                self.now,
            )
        )

    @property
    def used(self) -> int:
        return sum(each.units for each in self.events)

    @property
    def billed(self) -> int:
        return sum(units for _, units in self.counted.values())
