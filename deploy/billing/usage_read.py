"""Use and its reports as ClickHouse has them: sums by customer and day, then single ones."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final
from uuid import UUID

from deploy.billing.clickhouse_questions import Questions, Row, moment_text
from deploy.billing.standing import Report, UsedEvent
from deploy.billing.usage_questions import EVENT_DAYS, EVENTS, LEDGER_DAYS, REPORTS
from schemas.billing import CUSTOMER_PATTERN
from schemas.metadata_members import CUSTOMER, SITE
from schemas.meters import Meter, Meters

AT_ONCE: Final = timedelta(days=7)
"""Of which ClickHouse adds events up in one question: it holds their ids meanwhile."""


@dataclass(slots=True)
class Day:
    """Sums of a customer's day; `faults`: whether single reports are not what they should be.

    `unanswered`: of how many events Stripe has not said whether it counted them.
    """

    used: int = 0
    events: int = 0
    ledger: int = 0
    faults: int = 0
    unanswered: int = 0


@dataclass(slots=True)
class OfCustomer:
    """A customer's events and reports of a day."""

    events: list[UsedEvent] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)


class UsageRead:
    """Asks about one meter. Raises as Questions does."""

    def __init__(self, questions: Questions, meter: Meter, meters: Meters) -> None:
        """`meters` are all: of an event that one of them refuses nothing is reported."""
        self._questions = questions
        self._meter = meter
        self._of_type = meters.of(meter.event_type)

    def days(self, start: datetime, end: datetime, customer: str) -> dict[str, dict[date, Day]]:
        """Sums by customer and day in UTC of the hours from `start` to, not with, `end`.

        `customer`: of this one alone; '': of all.
        """
        found: dict[str, dict[date, Day]] = {}

        def of(owner: str, on: date) -> Day:
            return found.setdefault(owner, {}).setdefault(on, Day())

        while start < end:
            until = min(start + AT_ONCE, end)
            parameters = self._parameters(start, until) | {"customer": customer}
            for row in self._questions.rows(EVENT_DAYS, parameters):
                owner, on, units, events, faults, unanswered = row
                day = of(owner, on)
                day.used += int(units)
                day.events += int(events)
                day.faults += int(faults)
                day.unanswered += int(unanswered)
            for owner, on, units, faults in self._questions.rows(LEDGER_DAYS, parameters):
                day = of(owner, on)
                day.ledger += int(units)
                day.faults += int(faults)
            start = until
        return found

    def single(
        self, start: datetime, end: datetime, customers: Sequence[str]
    ) -> dict[str, OfCustomer]:
        """Events and reports of these customers; those that wait for a customer go to the event's.

        What is within a window that touches the span is there too.
        """
        parameters = self._parameters(start, end) | {"customers": list(customers)}
        found = {customer: OfCustomer() for customer in customers}
        owners: dict[UUID, str] = {}
        for row in self._questions.rows(EVENTS, parameters):
            owners[row[1]] = row[0]
            found[row[0]].events.append(
                UsedEvent(row[1], _moment(row[4]), int(row[2]), str(row[3]))
            )
        for row in self._questions.rows(REPORTS, parameters):
            owner = row[0] or owners.get(row[2])
            if owner is not None:
                found[owner].reports.append(_report(row))
        return found

    def reports(
        self, start: datetime, end: datetime, customers: Sequence[str]
    ) -> dict[str, list[Report]]:
        """Their reports alone, without those that wait for a customer; else as `single`."""
        parameters = self._parameters(start, end) | {"customers": list(customers)}
        found: dict[str, list[Report]] = {customer: [] for customer in customers}
        for row in self._questions.rows(REPORTS, parameters):
            if row[0]:
                found[row[0]].append(_report(row))
        return found

    def _parameters(self, start: datetime, end: datetime) -> dict[str, object]:
        return {
            "meter": self._meter.name,
            "event_type": self._meter.event_type,
            "values": [each.value for each in self._of_type],
            "mosts": [each.most for each in self._of_type],
            "place": self._of_type.index(self._meter) + 1,
            "customer_pattern": CUSTOMER_PATTERN,
            "customer_member": CUSTOMER,
            "site_member": SITE,
            "start": moment_text(start),
            "end": moment_text(end),
        }


def _report(row: Row) -> Report:
    customer, report_id, event, carrier, units, occurred, user, state, changed = row
    return Report(
        report_id=report_id,
        event_id=event,
        within=carrier,
        units=int(units),
        occurred_at=_moment(occurred),
        user_id=user,
        customer_id=customer,
        state=state,
        at=_moment(changed),
    )


def _moment(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)
