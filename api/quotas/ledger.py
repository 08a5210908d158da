"""Adds the ledger's decisions up to the account that they make. Pure: no clock, no questions."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Self
from uuid import UUID

from schemas.quotas import MAX_CREDITS, PastCommand, Period, QuotaDecision, Restore, TopUpLeft

RECENT: Final = 10_000
"""A worker that was killed publishes its last decisions again. The sink knows their ids for days;
whatever it misses lies close to the first copy."""

KEPT: Final = timedelta(days=35)
"""So long an account remembers what was decided, at most: it leaves out the rest by itself."""

_REMEMBERED: Final = frozenset({None, "quota_exceeded"})
"""Of decisions with these problems or none."""

_MOST_TOP_UPS: Final = 1_000
"""As many as a Restore takes."""

_Held = tuple[UUID, datetime | None]
"""A top-up by its id and its end, as the account tells them apart."""


@dataclass(frozen=True, slots=True)
class Standing:
    """On which plan, and in which period `[start, end)`; `number` as decisions give it.

    `usage_since`: the start with which usage last began anew.
    """

    plan: str
    start: datetime
    end: datetime
    subscription: bool
    number: int
    usage_since: datetime


@dataclass
class Usage:
    """What was used in a period, and which thresholds were crossed. Amounts in credits."""

    plan_credits: int = 0
    top_ups: dict[UUID, int] = field(default_factory=dict)
    crossed: set[int] = field(default_factory=set)
    _spends: set[UUID] = field(default_factory=set)

    @property
    def top_up_credits(self) -> int:
        return sum(max(0, each) for each in self.top_ups.values())

    @property
    def total(self) -> int:
        return self.plan_credits + self.top_up_credits

    def count(self, decision: QuotaDecision) -> None:
        """Adds a change that was decided in the period."""
        self.plan_credits += decision.change
        self.crossed.update(decision.crossed)
        if not decision.top_up_changes:
            return
        if decision.kind == "spend":
            self._spends.add(decision.command_id)
        elif decision.kind != "refund" or decision.spend_id not in self._spends:
            # A refund of a spend of an earlier period gives back what was not used in this one.
            return
        for each in decision.top_up_changes:
            self.top_ups[each.top_up_id] = self.top_ups.get(each.top_up_id, 0) - each.change

    def copy(self) -> "Usage":
        return Usage(self.plan_credits, dict(self.top_ups), set(self.crossed), set(self._spends))


@dataclass
class Ledger:
    """What a user's decisions add up to, taken one after the other in the order of arrival.

    Usage adds up by `period_number`. When Kafka's data is lost the account begins anew: its
    numbers start again, its plan and top-ups are unknown. What is decided then stands apart until
    a restore, and counts in the period in which that finds the account, if it was decided within
    it. What it says of the plan is nothing but the default, unless it changes the plan.
    """

    changed: int = 0
    """Changes that were added; restores change nothing."""
    changes: int = 0
    """The number of the last, which a restored account goes on from."""
    last: QuotaDecision | None = None
    """The last that was applied, a restore too: up to it the ledger shows the account."""
    latest: datetime | None = None
    refunded: set[UUID] = field(default_factory=set)
    """Spends that were undone, by their command."""
    _standing: Standing | None = None
    _usage: Usage = field(default_factory=Usage)
    _held: dict[_Held, int] = field(default_factory=dict)
    _apart: dict[UUID, QuotaDecision] = field(default_factory=dict)
    _is_apart: bool = False
    _moved: dict[UUID, int] = field(default_factory=dict)
    _recent: dict[UUID, None] = field(default_factory=dict)

    @classmethod
    def of(cls, decisions: Iterable[QuotaDecision]) -> Self:
        """The sum of these."""
        ledger = cls()
        for each in decisions:
            ledger.take(each)
        return ledger

    def take(self, decision: QuotaDecision) -> None:
        """Adds the decision that arrived next; a copy of one that was added adds nothing."""
        if decision.decision_id in self._recent:
            return
        self._recent[decision.decision_id] = None
        if len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]
        self.latest = max(self.latest or decision.decided_at, decision.decided_at)
        if not decision.applied:
            return
        if decision.kind == "restore":
            self._rejoin(decision)
        else:
            self.changed += 1
            self._change(decision)
        self.changes = max(self.changes, decision.number)
        self.last = decision

    def usage(self) -> Usage:
        """What was used in the running period, and what would count in it after a restore."""
        standing = self._standing
        usage = self._usage.copy()
        for each in self._within(standing):
            usage.count(each)
        return usage

    @property
    def standing(self) -> Standing | None:
        """Plan and period after the last change; None when there was none."""
        return self._standing

    def left(self, at: datetime) -> int:
        """Credits of top-ups that are left and have not ended by then."""
        return sum(self._live(at).values())

    def past_command(self, decision: QuotaDecision, now: datetime) -> PastCommand | None:
        """What an account is to remember of a decision that was taken; None: nothing, or no more.

        It counts in the period that the ledger counts it in, which a refund goes by.
        """
        if decision.decided_at + KEPT <= now or not decision.fingerprint:
            return None
        if decision.kind == "restore" or decision.problem not in _REMEMBERED:
            return None
        number = self._moved.get(decision.decision_id, decision.period_number)
        return PastCommand(
            command_id=decision.command_id,
            fingerprint=decision.fingerprint,
            decision=decision.model_copy(update={"period_number": number}),
            refunded=decision.command_id in self.refunded,
        )

    def restore(self, command_id: UUID, user_id: str, now: datetime, reason: str) -> Restore | None:
        """The command that makes the account what the ledger says; None when it says nothing."""
        standing = self._standing
        if standing is None:
            return None
        at = max(now, self.latest or now)
        usage = self.usage()
        return Restore(
            command_id=command_id,
            user_id=user_id,
            issued_at=at,
            reason=reason,
            plan=standing.plan,
            period=Period(start=standing.start, end=standing.end),
            usage_since=standing.usage_since,
            subscription=standing.subscription,
            plan_credits_used=max(0, usage.plan_credits),
            top_ups=self._top_ups(usage, at),
            crossed=sorted(usage.crossed),
            changes=self.changes,
            period_number=standing.number,
        )

    def _change(self, decision: QuotaDecision) -> None:
        # Numbers of an account only grow.
        if self.last is not None and decision.number <= self.last.number:
            self._is_apart = True
        if self._is_apart and self._standing is not None:
            self._moved[decision.decision_id] = 0
            self._apart[decision.decision_id] = decision
            if decision.kind == "plan_changed":
                number = self._standing.number
                kept = decision.period_start <= self._standing.usage_since
                self._enter(decision, number if kept else number + 1)
        else:
            self._enter(decision, decision.period_number)
            self._usage.count(decision)
        for each in decision.top_up_changes:
            key = each.top_up_id, each.ends_at
            left = self._held.get(key, 0) + each.change
            if left > 0:
                self._held[key] = left
            else:
                self._held.pop(key, None)
        if decision.kind == "refund" and decision.spend_id is not None:
            self.refunded.add(decision.spend_id)

    def _rejoin(self, decision: QuotaDecision) -> None:
        self._enter(decision, decision.period_number)
        for each in self._within(self._standing):
            self._usage.count(each)
            self._moved[each.decision_id] = decision.period_number
        self._apart.clear()
        self._is_apart = False

    def _enter(self, decision: QuotaDecision, number: int) -> None:
        before = self._standing
        if before is not None and number == before.number:
            since = before.usage_since
        else:
            since = _usage_since(decision, before, number)
            self._usage = Usage()
            self._held = self._live(decision.decided_at)
        self._standing = Standing(
            decision.plan,
            decision.period_start,
            decision.resets_at,
            decision.subscription,
            number,
            since,
        )

    def _within(self, standing: Standing | None) -> list[QuotaDecision]:
        """What was decided apart and counts in this period: a refund where its spend does."""
        found: list[QuotaDecision] = []
        counted: set[UUID | None] = set()
        if standing is None:
            return found
        for each in self._apart.values():
            if not standing.start <= each.decided_at < standing.end:
                continue
            if each.kind != "refund" or each.spend_id in counted:
                found.append(each)
                counted.add(each.command_id)
        return found

    def _live(self, at: datetime) -> dict[_Held, int]:
        return {
            (identity, ends_at): left
            for (identity, ends_at), left in self._held.items()
            if ends_at is None or ends_at > at
        }

    def _top_ups(self, usage: Usage, at: datetime) -> list[TopUpLeft]:
        used = {each: credits_ for each, credits_ in usage.top_ups.items() if credits_ > 0}
        found = [
            TopUpLeft(
                top_up_id=identity,
                left=left,
                used_in_period=used.pop(identity, 0),
                ends_at=ends_at,
            )
            for (identity, ends_at), left in self._live(at).items()
        ]
        # Of those that are used up only the sum matters.
        if len(found) + len(used) > _MOST_TOP_UPS:
            used = _merged(used)
        found += [
            TopUpLeft(top_up_id=identity, left=0, used_in_period=credits_)
            for identity, credits_ in used.items()
        ]
        return found


def _usage_since(decision: QuotaDecision, before: Standing | None, number: int) -> datetime:
    """The start with which usage began anew, of the first decision with this number."""
    had_ended = before is None or before.end <= decision.decided_at
    next_number = (0 if before is None else before.number) + 1
    if decision.kind == "plan_changed" and had_ended and number == next_number:
        # The change kept what was used since that end, which is nothing, and moved the start.
        return max(decision.period_start, decision.decided_at)
    return decision.period_start


def _merged(used: dict[UUID, int]) -> dict[UUID, int]:
    """As many credits under the names of a few."""
    total = sum(used.values())
    merged = {}
    for identity in used:
        if not total:
            break
        merged[identity] = min(total, MAX_CREDITS)
        total -= merged[identity]
    return merged
