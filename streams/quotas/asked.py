"""A command before its account, and the two ways in which it ends: refused, or applied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from schemas.plans import Catalogue
from schemas.quotas import (
    Problem,
    QuotaCommand,
    QuotaDecision,
    Refund,
    TopUpChange,
    refusal_id_for,
)
from streams.quotas.account import Account, Remembered, Step
from streams.quotas.standing import figures

APPLIED_KEPT: Final = timedelta(days=35)
"""So long an applied command is known again, and a spend can be refunded."""

REFUSAL_KEPT: Final = timedelta(hours=48)
"""So long a spend that was refused gets the same answer again."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A command, and all that decides about it.

    `stored`: the account in the table, None when there is none. `account`: as it stands at
    `moment`, which is the command's time and never before an earlier one's. `decision_id`: unless
    it is refused.
    """

    command: QuotaCommand
    fingerprint: str
    stored: Account | None
    account: Account
    moment: datetime
    past: Mapping[UUID, Remembered]
    catalogue: Catalogue
    decision_id: UUID

    def remembered(self, command_id: UUID) -> Remembered | None:
        """What is known of this command and not too old."""
        entry = self.past.get(command_id)
        return entry if entry is not None and entry.keep_until > self.moment else None

    def shown(self) -> Step:
        """The account as it stands, nothing done."""
        return Step(self.stored, self._decision(self.account))

    def refused(self, problem: Problem, *, count: int = 0, again_alike: bool = False) -> Step:
        """Nothing is changed; `again_alike`: the same command will get this same answer."""
        decision = self._decision(self.account, problem=problem, count=count)
        if not again_alike:
            return Step(self.stored, decision)
        return Step(self.stored, decision, (self._entry(decision, REFUSAL_KEPT),))

    def applied(
        self,
        account: Account,
        *,
        count: int = 0,
        change: int = 0,
        top_up_changes: Sequence[TopUpChange] = (),
        crossed: Sequence[int] = (),
        remember: Sequence[Remembered] = (),
    ) -> Step:
        """The account becomes this one, by its next change; `remember`: entries beside its own."""
        after = replace(account, changes=account.changes + 1, latest=self.moment)
        return self._becomes(
            after,
            self._decision(
                after,
                applied=True,
                count=count,
                change=change,
                top_up_changes=top_up_changes,
                number=after.changes,
                crossed=crossed,
            ),
            remember,
        )

    def restored(self, account: Account, remember: Sequence[Remembered]) -> Step:
        """The account becomes exactly this one: the ledger has its changes already."""
        after = replace(account, latest=self.moment)
        return self._becomes(
            after, self._decision(after, applied=True, number=after.changes), remember
        )

    def _becomes(
        self, account: Account, decision: QuotaDecision, remember: Sequence[Remembered]
    ) -> Step:
        return Step(account, decision, (*remember, self._entry(decision, APPLIED_KEPT)))

    def _entry(self, decision: QuotaDecision, kept: timedelta) -> Remembered:
        return Remembered(
            self.command.command_id, self.fingerprint, decision, keep_until=self.moment + kept
        )

    def _decision(
        self,
        account: Account,
        *,
        applied: bool = False,
        problem: Problem | None = None,
        count: int = 0,
        change: int = 0,
        top_up_changes: Sequence[TopUpChange] = (),
        number: int = 0,
        crossed: Sequence[int] = (),
    ) -> QuotaDecision:
        command = self.command
        limit, quota_used, remaining = figures(account, self.catalogue)
        # Validated: model_construct is slower by a fifth.
        return QuotaDecision(
            decision_id=self.decision_id if problem is None else refusal_id_for(self.decision_id),
            command_id=command.command_id,
            user_id=command.user_id,
            kind=command.kind,
            applied=applied,
            problem=problem,
            reason=command.reason,
            count=count,
            spend_id=command.spend_id if isinstance(command, Refund) else None,
            change=change,
            top_up_changes=list(top_up_changes),
            number=number,
            plan=account.plan,
            plans_version=self.catalogue.version,
            subscription=account.subscription,
            limit=limit,
            quota_used=quota_used,
            remaining=remaining,
            period_start=account.period_start,
            resets_at=account.period_end,
            period_number=account.period_number,
            crossed=list(crossed),
            fingerprint=self.fingerprint,
            decided_at=self.moment,
        )
