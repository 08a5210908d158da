"""Carries a command out: the decision, or the problem to answer with."""

from api.quotas.desk import Command, NoDecision, QuotaDesk
from api.quotas.documents import refused, undecided
from schemas.quotas import QuotaDecision, Show


async def carry_out(
    desk: QuotaDesk, command: Command, *, repeatable: bool = False
) -> QuotaDecision:
    """What was decided and done.

    Raises Problem: 403, 404, 409 or 422 when it was refused, 503 when nobody decided.
    """
    try:
        decision = await desk.decide(command)
    except NoDecision as error:
        changes = not isinstance(command, Show)
        raise undecided(error, changes=changes, repeatable=repeatable) from None
    if decision.problem is not None:
        raise refused(decision, decision.problem)
    return decision
