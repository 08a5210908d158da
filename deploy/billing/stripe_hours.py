"""Compares Stripe's sum of each hour with what Stripe was told of it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from uuid import UUID

from deploy.billing.corrections import correction_ids, correction_parts
from deploy.billing.findings import SETTLED, Finding
from deploy.billing.standing import Report, Standing
from schemas.billing import CancelReport, UsageCommand, UsageCounted


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
    counted = 0
    # Those that fit whole come first, then the smallest.
    for whole in (True, False):
        for each in sorted(open_, key=lambda report: report.units):
            at = _hour(each.counted_at)
            if each.report_id in standing.counted or room[at] < (each.units if whole else 1):
                continue
            room[at] -= each.units
            standing.counted.add(each.report_id)
            if not each.corrects:
                counted += each.units - _corrections_inside(standing, each.report_id)
    return counted


def hour_findings(standing: Standing, hours: Mapping[datetime, int]) -> Iterator[Finding]:
    """Hours in which Stripe has other sums than it was told.

    Corrections are not told: with them Stripe's sum is what it should be.
    """
    told: Counter[datetime] = Counter()
    last: dict[datetime, datetime] = {}
    for each in standing.sent_in_span():
        at = _hour(each.counted_at)
        last[at] = max(each.at, last.get(at, each.at))
        if not each.corrects:
            told[at] += each.units - _corrections_inside(standing, each.report_id)
    unsettled = standing.span.now - SETTLED
    for at in sorted(told.keys() | hours.keys()):
        has = hours.get(at, 0)
        if told[at] == has or not standing.span.holds(at):
            continue
        commands: tuple[UsageCommand, ...] = ()
        if at in last and last[at] > unsettled:
            problem = "Stripe was told of this hour a moment ago; run this again in 5 minutes"
        elif told[at] > has:
            problem = standing.too_old(at)
            if not problem:
                commands = tuple(_corrections(standing, at, has, told[at] - has))
        else:
            commands = tuple(_corrections_taken_back(standing, at, has - told[at]))
            problem = "" if commands else "Weir has not reported this, and cannot take it back"
        says = f"Stripe has {'less' if told[at] > has else 'more'} of this hour than it was told"
        yield Finding("stripe differs", at, told[at], has, says, commands=commands, problem=problem)


def _corrections(standing: Standing, at: datetime, has: int, short: int) -> Iterator[UsageCounted]:
    ids = correction_ids(standing.customer, standing.meter, at, has, standing.known)
    for report_id, units in zip(ids, correction_parts(short), strict=False):
        yield UsageCounted(
            report_id=report_id,
            event_id=report_id,
            meter=standing.meter,
            value=units,
            occurred_at=at,
            customer_id=standing.customer,
        )


def _corrections_taken_back(standing: Standing, at: datetime, over: int) -> Iterator[CancelReport]:
    """Corrections of the hour that turned out to be too much."""
    for each in standing.tops.values():
        if not each.corrects or not standing.was_sent(each) or _hour(each.counted_at) != at:
            continue
        if each.units <= over and standing.can_cancel(each):
            over -= each.units
            yield CancelReport(
                customer_id=standing.customer,
                report_id=each.report_id,
                reason="reconciled: Stripe had it after all",
            )


def _corrections_inside(standing: Standing, report_id: UUID) -> int:
    members = standing.inside.get(report_id, ())
    return sum(member.units for member in members if member.corrects)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
