"""Where an account stands at a moment: in which period, and its figures under its plan."""

from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from schemas.plans import Catalogue
from streams.quotas.account import Account, HeldTopUp
from streams.quotas.periods import Stretch, calendar_month, subscription_period


class Figures(NamedTuple):
    """In credits of the running period, those of top-ups included."""

    limit: int
    quota_used: int
    remaining: int


def opened(user_id: str, plan: str, moment: datetime) -> Account:
    """The account of a user who has none yet: on this plan, in the moment's calendar month."""
    month = calendar_month(moment)
    return Account(user_id, plan, month.start, month.end, usage_since=month.start)


def at(account: Account, moment: datetime) -> Account:
    """The account as it is at a moment: usage begins anew with a period, ended top-ups are gone.

    The very same object when neither has happened since.
    """
    if moment < account.period_end:
        top_ups = _live(account.top_ups, moment)
        return (
            account if len(top_ups) == len(account.top_ups) else replace(account, top_ups=top_ups)
        )
    if account.subscription:
        period = Stretch(account.period_start, account.period_end)
        period = subscription_period(period, account.anchor_day, moment)
    else:
        period = calendar_month(moment)
    return with_period(
        replace(account, top_ups=_live(account.top_ups, moment)), period, usage_kept=False
    )


def with_period(account: Account, period: Stretch, *, usage_kept: bool) -> Account:
    """The account in another period, with its usage or without."""
    if usage_kept:
        return replace(account, period_start=period.start, period_end=period.end)
    return replace(
        account,
        period_start=period.start,
        period_end=period.end,
        usage_since=period.start,
        period_number=account.period_number + 1,
        used=0,
        top_up_credits_used=0,
        crossed=frozenset(),
    )


def with_top_up(held: tuple[HeldTopUp, ...], added: HeldTopUp) -> tuple[HeldTopUp, ...]:
    """With one more, where it is spent: those that end soonest first, then those that last.

    Of those that end at the same time the one that came first is spent first. More of one that is
    held already is added to it.
    """
    for index, top_up in enumerate(held):
        if top_up.top_up_id == added.top_up_id and top_up.ends_at == added.ends_at:
            more = replace(top_up, left=top_up.left + added.left)
            return (*held[:index], more, *held[index + 1 :])
    index = len(held)
    while index and _ends_before(added, held[index - 1]):
        index -= 1
    return (*held[:index], added, *held[index:])


def figures(account: Account, catalogue: Catalogue) -> Figures:
    """Limit, usage and what remains. The limit may be below the usage after it was lowered."""
    plan_limit = catalogue.plan_or_default(account.plan).limit
    held = sum(top_up.left for top_up in account.top_ups)
    return Figures(
        limit=plan_limit + held + account.top_up_credits_used,
        quota_used=account.used + account.top_up_credits_used,
        remaining=max(0, plan_limit - account.used) + held,
    )


def _live(top_ups: tuple[HeldTopUp, ...], moment: datetime) -> tuple[HeldTopUp, ...]:
    # They are in the order of their ends.
    if not top_ups or top_ups[0].ends_at is None or top_ups[0].ends_at > moment:
        return top_ups
    return tuple(each for each in top_ups if each.ends_at is None or each.ends_at > moment)


def _ends_before(one: HeldTopUp, other: HeldTopUp) -> bool:
    if one.ends_at is None:
        return False
    return other.ends_at is None or one.ends_at < other.ends_at
