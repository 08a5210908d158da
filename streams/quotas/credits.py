"""What becomes of a command to a user's account: a pure step from one state to the next."""

from collections.abc import Mapping
from datetime import UTC
from typing import assert_never
from uuid import UUID

from schemas.plans import Catalogue
from schemas.quotas import PlanChanged, QuotaCommand, Refund, Restore, Show, Spend, TopUp
from streams.quotas.account import Account, Remembered, Step
from streams.quotas.asked import Asked
from streams.quotas.fingerprints import fingerprint
from streams.quotas.granting import change_plan, top_up
from streams.quotas.restoring import restore
from streams.quotas.spending import refund, spend
from streams.quotas.standing import at, opened


def decide(
    account: Account | None,
    command: QuotaCommand,
    past: Mapping[UUID, Remembered],
    catalogue: Catalogue,
    decision_id: UUID,
) -> Step:
    """What the command makes of the account: no clock, no randomness, nothing but its arguments.

    `past` holds what is remembered of the command's own id and, for a refund, of its spend's.
    The time is the command's, or that of the account's last change when this is later. What is
    refused changes nothing; a known command gets its first decision, the very same.
    """
    moment = command.issued_at.astimezone(UTC)
    if account is None:
        current = opened(command.user_id, catalogue.default, moment)
    else:
        if account.latest is not None and account.latest > moment:
            moment = account.latest
        current = at(account, moment)
    asked = Asked(
        command=command,
        fingerprint=fingerprint(command),
        stored=account,
        account=current,
        moment=moment,
        past=past,
        catalogue=catalogue,
        decision_id=decision_id,
    )
    if isinstance(command, Show):
        return asked.shown()
    known = asked.remembered(command.command_id)
    if known is not None:
        if known.fingerprint == asked.fingerprint:
            return Step(account, known.decision)
        return asked.refused("conflict", count=getattr(command, "count", None) or 0)
    match command:
        case Spend():
            return spend(asked, command)
        case Refund():
            return refund(asked, command)
        case TopUp():
            return top_up(asked, command)
        case PlanChanged():
            return change_plan(asked, command)
        case Restore():
            return restore(asked, command)
        case _:
            assert_never(command)
