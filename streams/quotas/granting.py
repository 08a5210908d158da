"""Changes what an account may use: a top-up, another plan."""

from dataclasses import replace

from schemas.quotas import MAX_AHEAD, MAX_TOP_UPS, PlanChanged, TopUp, TopUpChange
from streams.quotas.account import HeldTopUp, Step
from streams.quotas.asked import Asked
from streams.quotas.periods import anchor_day, calendar_month, in_utc, subscription_period
from streams.quotas.standing import with_period, with_top_up


def top_up(asked: Asked, command: TopUp) -> Step:
    """Adds credits; those that last for the period end where the running one does now."""
    account = asked.account
    if len(account.top_ups) >= MAX_TOP_UPS:
        return asked.refused("too_many_top_ups", count=command.count)
    ends_at = account.period_end if command.lasts == "period" else None
    added = HeldTopUp(command.command_id, command.count, ends_at)
    return asked.applied(
        replace(account, top_ups=with_top_up(account.top_ups, added)),
        count=command.count,
        top_up_changes=[
            TopUpChange(top_up_id=added.top_up_id, change=added.left, ends_at=added.ends_at)
        ],
    )


def change_plan(asked: Asked, command: PlanChanged) -> Step:
    """Puts the account on a plan and in its period.

    Usage is kept when that begins no later than usage last began anew, so that no change of plan
    within a period gives it back, and none away and back. A subscription's period that is over by
    now goes on as it was before the two are compared: news of it may come late. One that has not
    begun is refused: it would give the usage back at once.
    """
    if asked.catalogue.plan(command.plan) is None:
        return asked.refused("unknown_plan")
    anchor = 0
    if command.period is None:
        period = calendar_month(asked.moment)
    else:
        period = in_utc(command.period)
        if period.start > asked.moment + MAX_AHEAD:
            return asked.refused("period_not_begun")
        anchor = anchor_day(period)
        if period.end <= asked.moment:
            period = subscription_period(period, anchor, asked.moment)
    account = asked.account
    since = account.usage_since
    if asked.stored is None or asked.stored.period_number != account.period_number:
        # It began with this command: the ledger shows no other start of what is used from now.
        since = max(since, asked.moment)
    return asked.applied(
        with_period(
            replace(
                account,
                plan=command.plan,
                subscription=command.period is not None,
                anchor_day=anchor,
                usage_since=since,
            ),
            period,
            usage_kept=period.start <= account.usage_since,
        )
    )
