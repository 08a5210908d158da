"""Sets an account to what the ledger says, after Kafka lost its data."""

from datetime import UTC

from schemas.quotas import PastCommand, Restore
from streams.quotas.account import Account, HeldTopUp, Remembered, Step
from streams.quotas.asked import APPLIED_KEPT, REFUSAL_KEPT, Asked
from streams.quotas.periods import anchor_day, in_utc
from streams.quotas.standing import at, with_top_up


def restore(asked: Asked, command: Restore) -> Step:
    """Whatever the account was, it is what the command says, as it stands at its time.

    Unless it has changed since what the command says of it.
    """
    if command.replaces is not None and command.replaces != asked.account.changes:
        return asked.refused("conflict")
    period = in_utc(command.period)
    since = command.usage_since
    held: tuple[HeldTopUp, ...] = ()
    for each in command.top_ups:
        if each.left:
            held = with_top_up(held, HeldTopUp(each.top_up_id, each.left, each.ends_at))
    account = Account(
        user_id=command.user_id,
        plan=command.plan,
        period_start=period.start,
        period_end=period.end,
        usage_since=period.start if since is None else since.astimezone(UTC),
        subscription=command.subscription,
        anchor_day=anchor_day(period) if command.subscription else 0,
        period_number=command.period_number,
        used=command.plan_credits_used,
        top_up_credits_used=sum(each.used_in_period for each in command.top_ups),
        top_ups=held,
        crossed=frozenset(command.crossed),
        changes=command.changes,
    )
    # Oldest first: of what was sent again after the loss, and decided twice, the later decision.
    remembered = {each.command_id: _remembered(each) for each in command.remembered}
    return asked.restored(
        at(account, asked.moment),
        [each for each in remembered.values() if each.keep_until > asked.moment],
    )


def _remembered(each: PastCommand) -> Remembered:
    kept = APPLIED_KEPT if each.decision.applied else REFUSAL_KEPT
    return Remembered(
        each.command_id,
        each.fingerprint,
        each.decision,
        keep_until=each.decision.decided_at + kept,
        refunded=each.refunded,
    )
