"""Compares Stripe's sum of each hour with what Stripe was told of it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from deploy.billing.corrections import correction_ids, correction_parts
from deploy.billing.findings import SETTLED, Finding
from deploy.billing.neighbours import NEAR, HourDiffers
from deploy.billing.standing import Report, Span, Standing
from schemas.billing import CancelReport, UsageCommand, UsageCounted


@dataclass(slots=True)
class HoursSeen:
    """Of a customer's hours those that differ, the corrections in them, and ids that are taken."""

    differing: list[HourDiffers] = field(default_factory=list)
    corrections: list[Report] = field(default_factory=list)
    known: set[UUID] = field(default_factory=set)

    def add(self, others: "HoursSeen") -> None:
        """Of hours that are not among these."""
        self.differing += others.differing
        self.corrections += others.corrections
        self.known |= others.known


def decide_uncertain(standing: Standing, hours: Mapping[datetime, int]) -> int:
    """Marks reports without an answer as counted: as many as Stripe's hours have room for.

    One that has room in part only is marked too, and what its hour then lacks is made up for: to
    report it again could bill it twice. Returns the units of those marked.
    """
    room = Counter(hours)
    open_: list[Report] = []
    for each in standing.tops.values():
        if each.state == "sent":
            room[_hour(each.counted_at)] -= each.units
        elif each.state == "uncertain" and standing.span.holds(each.counted_at):
            open_.append(each)
    # Those that fit whole come first, then the smallest.
    for whole in (True, False):
        for each in sorted(open_, key=lambda report: report.units):
            at = _hour(each.counted_at)
            if each.report_id not in standing.counted and room[at] >= (each.units if whole else 1):
                room[at] -= each.units
                standing.counted.add(each.report_id)
    # Of one that was dated ahead Stripe's hour is an earlier one: see Report.counted_at. In the
    # order of time, so that none takes what another, that reaches less far, needs.
    for each in sorted(open_, key=lambda report: report.counted_at):
        if each.report_id not in standing.counted and _takes_earlier(room, each):
            standing.counted.add(each.report_id)
    return sum(
        each.units - _corrections_inside(standing, each.report_id)
        for each in open_
        if each.report_id in standing.counted and not each.corrects
    )


def hours_seen(standing: Standing, hours: Mapping[datetime, int]) -> HoursSeen:
    """Hours in which Stripe has other sums than it was told.

    Corrections are not told: with them Stripe's sum is what it should be.
    """
    told: Counter[datetime] = Counter()
    last: dict[datetime, datetime] = {}
    seen = HoursSeen(known={each.report_id for each in standing.reports if each.corrects})
    for each in standing.sent_in_span():
        at = _hour(each.counted_at)
        last[at] = max(each.at, last.get(at, each.at))
        if each.corrects:
            seen.corrections.append(each)
        else:
            told[at] += each.units - _corrections_inside(standing, each.report_id)
    unsettled = standing.span.now - SETTLED
    for at in sorted(told.keys() | hours.keys()):
        has = hours.get(at, 0)
        if told[at] != has and standing.span.holds(at):
            settled = at not in last or last[at] <= unsettled
            seen.differing.append(HourDiffers(at, told[at], has, settled=settled))
    return seen


def hour_findings(
    customer: str, meter: str, span: Span, seen: HoursSeen, hours: Iterable[HourDiffers]
) -> Iterator[Finding]:
    """What is left of the differences in the span; `hours` are those seen, as `netted` gives them.

    Only that is made up for: see neighbours.
    """
    taken_back: set[UUID] = set()
    for each in hours:
        if not each.short or not span.holds(each.at):
            continue
        commands: tuple[UsageCommand, ...] = ()
        if not each.settled:
            problem = "Stripe was told of this hour a moment ago; run this again in 5 minutes"
        elif each.short > 0:
            problem = span.too_old(each.at)
            if not problem:
                commands = tuple(_corrections(customer, meter, each, seen.known))
        else:
            too_much = list(_too_much(span, each, seen.corrections, taken_back))
            taken_back.update(report.report_id for report in too_much)
            commands = tuple(
                CancelReport(
                    customer_id=customer,
                    report_id=report.report_id,
                    reason="reconciled: Stripe had it after all",
                )
                for report in too_much
            )
            problem = "" if commands else "Weir has not reported this, and cannot take it back"
        says = f"Stripe has {'less' if each.short > 0 else 'more'} of this hour than it was told"
        yield Finding(
            "stripe differs",
            each.at,
            each.told,
            each.has,
            f"{says}{', beside what hours near it make up for' if each.moved else ''}",
            commands=commands,
            problem=problem,
        )


def _corrections(
    customer: str, meter: str, hour: HourDiffers, known: set[UUID]
) -> Iterator[UsageCounted]:
    ids = correction_ids(customer, meter, hour.at, hour.has, known)
    for report_id, units in zip(ids, correction_parts(hour.short), strict=False):
        yield UsageCounted(
            report_id=report_id,
            event_id=report_id,
            meter=meter,
            value=units,
            occurred_at=hour.at,
            customer_id=customer,
        )


def _too_much(
    span: Span, hour: HourDiffers, corrections: list[Report], taken_back: set[UUID]
) -> Iterator[Report]:
    """Corrections of the hour, then of those near it, that turned out to be too much."""
    over = -hour.short
    for each in sorted(corrections, key=lambda report: abs(_hour(report.counted_at) - hour.at)):
        near = abs(_hour(each.counted_at) - hour.at) <= NEAR
        if near and each.units <= over and each.report_id not in taken_back:
            if not span.can_cancel(each):
                continue
            over -= each.units
            yield each


def _takes_earlier(room: "Counter[datetime]", report: Report) -> bool:
    """Whether hours near it, before its own, have room for some of it; takes what they have."""
    own = _hour(report.counted_at)
    left = report.units
    for at in sorted(each for each in room if own - NEAR <= each < own and room[each] > 0):
        units = min(left, room[at])
        room[at] -= units
        left -= units
    return left < report.units


def _corrections_inside(standing: Standing, report_id: UUID) -> int:
    members = standing.inside.get(report_id, ())
    return sum(member.units for member in members if member.corrects)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
