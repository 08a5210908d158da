"""Takes credits, and gives those of a spend back."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from schemas.quotas import Refund, Spend, TopUpChange
from streams.quotas.account import Account, HeldTopUp, Step
from streams.quotas.asked import Asked
from streams.quotas.standing import figures, with_top_up

THRESHOLDS: Final = (80, 100)
"""In percent of the limit."""


def spend(asked: Asked, command: Spend) -> Step:
    """All or none: of the plan first, then of the top-ups in their order."""
    account = asked.account
    allowed = max(0, asked.catalogue.plan_or_default(account.plan).limit - account.used)
    from_plan = min(command.count, allowed)
    wanted = command.count - from_plan
    held = account.top_ups
    changes = []
    while wanted and held:
        first = held[0]
        taken = min(wanted, first.left)
        wanted -= taken
        changes.append(_change(first, -taken))
        left = first.left - taken
        held = (replace(first, left=left), *held[1:]) if left else held[1:]
    if wanted:
        return asked.refused("quota_exceeded", count=command.count, again_alike=command.repeatable)
    after = replace(
        account,
        used=account.used + from_plan,
        top_up_credits_used=account.top_up_credits_used + command.count - from_plan,
        top_ups=held,
    )
    crossed = _crossed(asked, after)
    if crossed:
        after = replace(after, crossed=after.crossed.union(crossed))
    return asked.applied(
        after, count=command.count, change=from_plan, top_up_changes=changes, crossed=crossed
    )


def refund(asked: Asked, command: Refund) -> Step:
    """Once for each spend, what it took last first; what has expired meanwhile stays so.

    Credits of the plan expire with the period in which they count, those of a top-up with it.
    """
    known = asked.remembered(command.spend_id)
    if known is None or known.decision.kind != "spend" or not known.decision.applied:
        return asked.refused("unknown_spend", count=command.count or 0)
    spent = known.decision
    count = spent.count if command.count is None else command.count
    if known.refunded:
        return asked.refused("already_refunded", count=count)
    if count > spent.count:
        return asked.refused("refund_too_large", count=count)

    after = asked.account
    # Not by its start: see QuotaDecision.
    counts = spent.period_number == after.period_number
    changes = []
    rest = count
    for taken in reversed(spent.top_up_changes):
        part = min(rest, -taken.change)
        rest -= part
        if part and not _ended(taken, asked.moment):
            changes.append(
                TopUpChange(top_up_id=taken.top_up_id, change=part, ends_at=taken.ends_at)
            )
            after = _returned(after, taken, part, counts=counts)
    # An account that was restored may count less than its spends say.
    from_plan = min(rest, after.used) if counts else 0
    given_back = from_plan + sum(each.change for each in changes)
    if not given_back:
        return asked.refused("period_over", count=count)
    return asked.applied(
        replace(after, used=after.used - from_plan),
        count=given_back,
        change=-from_plan,
        top_up_changes=changes,
        remember=(replace(known, refunded=True),),
    )


def _crossed(asked: Asked, after: Account) -> list[int]:
    if len(after.crossed) == len(THRESHOLDS):
        return []
    limit, quota_used, _ = figures(after, asked.catalogue)
    return [
        threshold
        for threshold in THRESHOLDS
        if quota_used * 100 >= threshold * limit and threshold not in after.crossed
    ]


def _returned(account: Account, taken: TopUpChange, part: int, *, counts: bool) -> Account:
    used = account.top_up_credits_used
    return replace(
        account,
        top_ups=with_top_up(account.top_ups, HeldTopUp(taken.top_up_id, part, taken.ends_at)),
        top_up_credits_used=max(0, used - part) if counts else used,
    )


def _ended(top_up: TopUpChange, moment: datetime) -> bool:
    return top_up.ends_at is not None and top_up.ends_at <= moment


def _change(top_up: HeldTopUp, change: int) -> TopUpChange:
    return TopUpChange(top_up_id=top_up.top_up_id, change=change, ends_at=top_up.ends_at)
