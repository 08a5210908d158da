"""Quotas as one would keep them by hand: a journal, read from its first line for each answer.

It shares no code with the product but the messages: slow, and simple enough to be seen to be right.
"""

from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from uuid import UUID

from schemas.plans import Catalogue
from schemas.quotas import (
    PlanChanged,
    Problem,
    QuotaCommand,
    QuotaDecision,
    Refund,
    Restore,
    Show,
    Spend,
    TopUp,
    TopUpChange,
    refusal_id_for,
)

PLAN = "the plan"
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass
class Held:
    top_up_id: UUID
    ends_at: datetime | None
    left: int


@dataclass
class Page:
    """What the journal adds up to at a moment."""

    plan: str
    start: datetime
    end: datetime
    since: datetime
    subscription: bool = False
    day: int = 0
    periods: int = 1
    written_periods: int = 0
    plan_used: int = 0
    top_ups_used: int = 0
    crossed: set[int] = field(default_factory=set)
    held: list[Held] = field(default_factory=list)
    changes: int = 0
    latest: datetime | None = None

    def begin(self, start: datetime, end: datetime) -> None:
        self.start, self.end, self.since = start, end, start
        self.periods += 1
        self.plan_used = self.top_ups_used = 0
        self.crossed = set()

    def turn_to(self, moment: datetime) -> None:
        self.held = [each for each in self.held if each.ends_at is None or each.ends_at > moment]
        if self.end <= moment:
            if self.subscription:
                self.begin(*walked(self.start, self.end, self.day, moment))
            else:
                self.begin(*month_of(moment))

    def put(self, source: tuple[UUID, datetime | None], count: int) -> None:
        held = self.find(source)
        if held is None and count:
            self.held.append(Held(*source, left=count))
        elif held is not None:
            held.left += count

    def find(self, source: tuple[UUID, datetime | None]) -> Held | None:
        for each in self.held:
            if (each.top_up_id, each.ends_at) == source:
                return each
        return None


Source = str | tuple[UUID, datetime | None]
"""Where one credit came from: the plan, or a top-up with its end."""


@dataclass
class Known:
    content: tuple[object, ...]
    answer: QuotaDecision
    until: datetime
    sources: list[Source] = field(default_factory=list)
    refunded: bool = False


class Journal:
    """One user's. `answer` is what a command must be answered, the fingerprint aside."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.lines: list[tuple[datetime, Callable[[Page], None]]] = []
        self.known: dict[UUID, Known] = {}

    def page(self, moment: datetime) -> Page:
        opening = self.lines[0][0] if self.lines else moment
        start, end = month_of(opening)
        page = Page(self.catalogue.default, start, end, start)
        for written, line in self.lines:
            page.turn_to(written)
            page.latest = written
            page.changes += 1
            line(page)
            page.written_periods = page.periods
        page.turn_to(moment)
        return page

    def answer(self, command: QuotaCommand, decision_id: UUID) -> QuotaDecision:
        moment = max([command.issued_at, *(written for written, _ in self.lines)])
        known = self.still_known(command.command_id, moment)
        if known is not None and not isinstance(command, Show):
            if known.content == content(command):
                return known.answer
            return self.decision(command, decision_id, moment, "conflict", asked(command))
        match command:
            case Show():
                return self.decision(command, decision_id, moment, None)
            case Spend():
                return self.spend(command, decision_id, moment)
            case Refund():
                return self.refund(command, decision_id, moment)
            case TopUp():
                return self.top_up(command, decision_id, moment)
            case PlanChanged():
                return self.plan_changed(command, decision_id, moment)
            case Restore():
                return self.restore(command, decision_id, moment)

    def spend(self, command: Spend, decision_id: UUID, moment: datetime) -> QuotaDecision:
        page = self.page(moment)
        plan_left = self.limit(page.plan) - page.plan_used
        sources: list[Source] = []
        for _ in range(command.count):
            if plan_left > 0:
                plan_left -= 1
                sources.append(PLAN)
                continue
            usable = [each for each in page.held if each.left > 0]
            if not usable:
                refusal = self.decision(
                    command, decision_id, moment, "quota_exceeded", command.count
                )
                if command.repeatable:
                    until = moment + timedelta(hours=48)
                    self.known[command.command_id] = Known(content(command), refusal, until)
                return refusal
            soonest = min(usable, key=lambda each: each.ends_at or NEVER)
            soonest.left -= 1
            sources.append((soonest.top_up_id, soonest.ends_at))

        crossed: list[int] = []

        def line(page: Page) -> None:
            for source in sources:
                if isinstance(source, str):
                    page.plan_used += 1
                    continue
                held = page.find(source)
                assert held is not None
                page.top_ups_used += 1
                held.left -= 1
                if held.left == 0:
                    page.held.remove(held)
            page.crossed.update(crossed)

        self.lines.append((moment, line))
        after = self.page(moment)
        part = Fraction(after.plan_used + after.top_ups_used, self.total(after))
        crossed.extend(
            each for each in (80, 100) if part >= Fraction(each, 100) and each not in after.crossed
        )
        return self.done(
            command, decision_id, moment, count=command.count, minus=sources, crossed=crossed
        )

    def refund(self, command: Refund, decision_id: UUID, moment: datetime) -> QuotaDecision:
        spent = self.still_known(command.spend_id, moment)
        if spent is None or spent.answer.kind != "spend" or not spent.answer.applied:
            return self.decision(command, decision_id, moment, "unknown_spend", command.count or 0)
        count = command.count or spent.answer.count
        if spent.refunded:
            return self.decision(command, decision_id, moment, "already_refunded", count)
        if count > spent.answer.count:
            return self.decision(command, decision_id, moment, "refund_too_large", count)
        page = self.page(moment)
        running = spent.answer.period_number == page.periods
        given = [each for each in reversed(spent.sources[-count:]) if self.is_live(each, moment)]
        while given.count(PLAN) > (page.plan_used if running else 0):
            given.remove(PLAN)
        if not given:
            return self.decision(command, decision_id, moment, "period_over", count)

        def line(page: Page) -> None:
            for source in given:
                if isinstance(source, str):
                    page.plan_used -= 1
                    continue
                page.put(source, 1)
                if running:
                    page.top_ups_used = max(0, page.top_ups_used - 1)

        self.lines.append((moment, line))
        spent.refunded = True
        return self.done(command, decision_id, moment, count=len(given), plus=given)

    def top_up(self, command: TopUp, decision_id: UUID, moment: datetime) -> QuotaDecision:
        page = self.page(moment)
        if len(page.held) >= 100:
            return self.decision(command, decision_id, moment, "too_many_top_ups", command.count)
        source = (command.command_id, page.end if command.lasts == "period" else None)

        def line(page: Page) -> None:
            page.put(source, command.count)

        self.lines.append((moment, line))
        return self.done(
            command, decision_id, moment, count=command.count, plus=[source] * command.count
        )

    def plan_changed(
        self, command: PlanChanged, decision_id: UUID, moment: datetime
    ) -> QuotaDecision:
        if command.plan not in self.catalogue.plans:
            return self.decision(command, decision_id, moment, "unknown_plan")
        period = command.period
        day = 0
        if period is None:
            start, end = month_of(moment)
        else:
            day = renewal_day(period.start, period.end)
            if period.start - moment > timedelta(minutes=5):
                return self.decision(command, decision_id, moment, "period_not_begun")
            start, end = walked(period.start, period.end, day, moment)

        def line(page: Page) -> None:
            page.plan, page.subscription, page.day = command.plan, period is not None, day
            if start > page.since:
                page.begin(start, end)
            elif page.periods != page.written_periods:
                page.since = moment
            page.start, page.end = start, end

        self.lines.append((moment, line))
        return self.done(command, decision_id, moment)

    def restore(self, command: Restore, decision_id: UUID, moment: datetime) -> QuotaDecision:
        def line(page: Page) -> None:
            page.plan = command.plan
            page.start, page.end = command.period.start, command.period.end
            page.since = command.usage_since or command.period.start
            page.subscription = command.subscription
            page.day = renewal_day(page.start, page.end) if command.subscription else 0
            page.periods = command.period_number
            page.plan_used = command.plan_credits_used
            page.top_ups_used = sum(each.used_in_period for each in command.top_ups)
            page.crossed = set(command.crossed)
            page.changes = command.changes
            page.held = []
            for each in command.top_ups:
                page.put((each.top_up_id, each.ends_at), each.left)
            page.turn_to(moment)

        self.lines.append((moment, line))
        for past in command.remembered:
            decision = past.decision
            kept = timedelta(days=35) if decision.applied else timedelta(hours=48)
            if decision.decided_at + kept > moment:
                sources: list[Source] = [PLAN] * max(0, decision.change)
                for each in decision.top_up_changes:
                    sources += [(each.top_up_id, each.ends_at)] * -each.change
                before = self.known.get(past.command_id)
                self.known[past.command_id] = Known(
                    # What is not known from before is a spend in these tests.
                    before.content if before else (decision.kind, decision.count, decision.reason),
                    decision,
                    decision.decided_at + kept,
                    sources,
                    past.refunded,
                )
        return self.done(command, decision_id, moment)

    def done(
        self,
        command: QuotaCommand,
        decision_id: UUID,
        moment: datetime,
        *,
        count: int = 0,
        minus: list[Source] | None = None,
        plus: list[Source] | None = None,
        crossed: list[int] | None = None,
    ) -> QuotaDecision:
        by_top_up: dict[tuple[UUID, datetime | None], int] = {}
        change = 0
        for sources, sign in ((minus or [], 1), (plus or [], -1)):
            for source in sources:
                if isinstance(source, str):
                    change += sign
                else:
                    by_top_up[source] = by_top_up.get(source, 0) - sign
        answer = self.decision(command, decision_id, moment, None, count).model_copy(
            update={
                "applied": True,
                "number": self.page(moment).changes,
                "change": change,
                "top_up_changes": [
                    TopUpChange(top_up_id=top_up_id, change=each, ends_at=ends_at)
                    for (top_up_id, ends_at), each in by_top_up.items()
                ],
                "crossed": crossed or [],
            }
        )
        until = moment + timedelta(days=35)
        self.known[command.command_id] = Known(content(command), answer, until, minus or [])
        return answer

    def decision(
        self,
        command: QuotaCommand,
        decision_id: UUID,
        moment: datetime,
        problem: Problem | None,
        count: int = 0,
    ) -> QuotaDecision:
        page = self.page(moment)
        return QuotaDecision(
            decision_id=decision_id if problem is None else refusal_id_for(decision_id),
            command_id=command.command_id,
            user_id=command.user_id,
            kind=command.kind,
            applied=False,
            problem=problem,
            reason=command.reason,
            count=count,
            spend_id=getattr(command, "spend_id", None),
            plan=page.plan,
            plans_version=self.catalogue.version,
            subscription=page.subscription,
            limit=self.total(page),
            quota_used=page.plan_used + page.top_ups_used,
            remaining=max(0, self.limit(page.plan) - page.plan_used)
            + sum(each.left for each in page.held),
            period_start=page.start,
            resets_at=page.end,
            period_number=page.periods,
            decided_at=moment,
        )

    def still_known(self, command_id: UUID, moment: datetime) -> Known | None:
        known = self.known.get(command_id)
        return known if known and moment < known.until else None

    def is_live(self, source: Source, moment: datetime) -> bool:
        return isinstance(source, str) or source[1] is None or source[1] > moment

    def limit(self, plan: str) -> int:
        plans = self.catalogue.plans
        return plans[plan if plan in plans else self.catalogue.default].limit

    def total(self, page: Page) -> int:
        return self.limit(page.plan) + sum(each.left for each in page.held) + page.top_ups_used


def content(command: QuotaCommand) -> tuple[object, ...]:
    match command:
        case Show():
            return ("show",)
        case Spend():
            return ("spend", command.count, command.reason)
        case Refund():
            return ("refund", command.spend_id, command.count, command.reason)
        case TopUp():
            return ("top_up", command.count, command.lasts, command.reason)
        case PlanChanged():
            return ("plan_changed", command.plan, command.period, command.reason)
        case Restore():
            return (command.model_dump_json(exclude={"command_id", "issued_at", "reason"}),)


def asked(command: QuotaCommand) -> int:
    return getattr(command, "count", 0) or 0


def month_of(moment: datetime) -> tuple[datetime, datetime]:
    first = moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return first, next_month(first, 1)


def next_month(moment: datetime, day: int) -> datetime:
    """In the month after the moment's: on that day, or the last one before it that there is."""
    year, month = (moment.year, moment.month + 1) if moment.month < 12 else (moment.year + 1, 1)
    return moment.replace(year=year, month=month, day=min(day, monthrange(year, month)[1]))


def renewal_day(start: datetime, end: datetime) -> int:
    """The day of the month that both ends may stand for, else that of the end."""
    for day in range(1, 32):
        if all(each.day == min(day, monthrange(each.year, each.month)[1]) for each in (start, end)):
            return day
    return end.day


def walked(start: datetime, end: datetime, day: int, moment: datetime) -> tuple[datetime, datetime]:
    """The period that contains the moment, one after the other."""
    length = end - start
    monthly = length in [timedelta(days=each) for each in (28, 29, 30, 31)]
    yearly = length in [timedelta(days=each) for each in (365, 366)]
    while end <= moment:
        start = end
        if monthly:
            end = next_month(start, day)
        elif yearly:
            for _ in range(12):
                end = next_month(end, day)
        else:
            end = start + length
    return start, end
