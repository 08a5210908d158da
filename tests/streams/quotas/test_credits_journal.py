"""Random sequences of commands are answered as a journal kept by hand answers them."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from uuid import UUID

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from schemas.plans import Catalogue, Plan
from schemas.quotas import (
    PastCommand,
    Period,
    PlanChanged,
    QuotaCommand,
    QuotaDecision,
    Refund,
    Restore,
    Show,
    Spend,
    TopUp,
    TopUpLeft,
    refusal_id_for,
)
from streams.quotas.account import Account, Step
from streams.quotas.credits import decide
from streams.quotas.encoding import (
    decode_account,
    decode_remembered,
    encode_account,
    encode_remembered,
)
from streams.quotas.fingerprints import fingerprint
from tests.streams.quotas.journal import Journal, next_month

USER = "alice"
PLANS = ("free", "pro", "gold")
COUNTS = st.integers(1, 12)
LIMITS = st.one_of(st.integers(0, 10), st.integers(0, 40))
CATALOGUES = st.fixed_dictionaries(
    {"free": LIMITS, "pro": LIMITS}, optional={"gold": st.integers(50, 99)}
)
STARTS = st.sampled_from(
    [
        datetime(2027, 1, 31, 10, 30, tzinfo=UTC),
        datetime(2028, 2, 29, tzinfo=UTC),
        datetime(2026, 11, 24, 9, 30, 0, 123456, tzinfo=UTC),
        datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ]
)
SOON = st.timedeltas(timedelta(0), timedelta(days=2))
LATER = st.one_of(
    st.sampled_from([timedelta(hours=48), timedelta(days=28), timedelta(days=35)]),
    st.timedeltas(timedelta(days=2), timedelta(days=400)),
)
EARLIER = st.one_of(st.just(timedelta(0)), st.timedeltas(timedelta(0), timedelta(days=40)))
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=9)), timezone(timedelta(hours=-7))])
LENGTHS = st.one_of(
    st.sampled_from(["month", "year"]),
    st.sampled_from([7, 28, 30, 31, 365, 366]).map(lambda days: timedelta(days=days)),
    st.timedeltas(timedelta(days=3), timedelta(days=100)),
)


class Quotas(RuleBasedStateMachine):
    """Each command goes through `decide` as a worker would call it, the table's bytes included."""

    sent = Bundle("sent")
    spends = Bundle("spends")

    @initialize(now=STARTS, limits=CATALOGUES)
    def begin(self, now: datetime, limits: dict[str, int]) -> None:
        self.now = now
        self.offset = 0
        self.catalogue = catalogue(1, limits)
        self.journal = Journal(self.catalogue)
        self.account: bytes | None = None
        self.table: dict[UUID, bytes] = {}
        self.ledger: list[QuotaDecision] = []
        # Once set the ledger does not add up to the account: another one was restored.
        self.restored: Restore | None = None
        self.repeatable: set[UUID] = set()

    # Commands

    @rule(target=spends, count=COUNTS)
    def usual_spend(self, count: int) -> QuotaCommand | MultipleResults[QuotaCommand]:
        return self.if_applied(self.spend(count, repeatable=True, issued_at=self.now))

    @rule(target=sent, count=COUNTS, repeatable=st.booleans(), early=EARLIER, zone=ZONES)
    def other_spend(
        self, *, count: int, repeatable: bool, early: timedelta, zone: timezone
    ) -> QuotaCommand:
        issued_at = (self.now - early).astimezone(zone)
        return self.spend(count, repeatable=repeatable, issued_at=issued_at)

    @rule(target=spends, but=st.integers(-1, 3))
    def spend_all_that_remains(self, but: int) -> QuotaCommand | MultipleResults[QuotaCommand]:
        count = max(1, self.show().decision.remaining - but)
        return self.if_applied(self.spend(count, repeatable=True, issued_at=self.now))

    def if_applied(self, command: QuotaCommand) -> QuotaCommand | MultipleResults[QuotaCommand]:
        known = self.table.get(command.command_id)
        applied = known is not None and decode_remembered(known).decision.applied
        return command if applied else multiple()

    def spend(self, count: int, *, repeatable: bool, issued_at: datetime) -> QuotaCommand:
        command = Spend(
            command_id=self.new_id(),
            user_id=USER,
            issued_at=issued_at,
            reason="a post",
            count=count,
            repeatable=repeatable,
        )
        if repeatable:
            self.repeatable.add(command.command_id)
        return self.ask(command)

    @rule(target=sent, spend=spends, count=st.none() | st.integers(1, 12), again=st.booleans())
    def refund(self, spend: QuotaCommand, count: int | None, *, again: bool) -> QuotaCommand:
        refund = self.give_back(spend, count)
        if again:
            self.give_back(spend, 1)
        return refund

    @rule(target=sent)
    def spend_and_refund(self) -> QuotaCommand:
        return self.give_back(self.spend(6, repeatable=True, issued_at=self.now), None)

    @rule(target=sent, spend=spends, count=st.none() | st.integers(1, 12))
    def refund_after_the_period(self, spend: QuotaCommand, count: int | None) -> QuotaCommand:
        end = self.show().decision.resets_at
        if end < self.now + timedelta(days=35):
            self.now = max(self.now, end)
        return self.give_back(spend, count)

    @precondition(lambda self: self.offset % 4 == 0)
    @rule(target=sent, other=sent)
    def refund_what_is_no_spend(self, other: QuotaCommand) -> QuotaCommand:
        return self.give_back(other, None)

    def give_back(self, spend: QuotaCommand, count: int | None) -> QuotaCommand:
        return self.ask(
            Refund(
                command_id=self.new_id(),
                user_id=USER,
                issued_at=self.now,
                reason="a post that failed",
                spend_id=spend.command_id,
                count=count,
            )
        )

    @rule(target=sent, count=COUNTS, lasts=st.sampled_from(["period", "used"]))
    def top_up(self, count: int, lasts: str) -> QuotaCommand:
        return self.ask(
            TopUp.model_validate(
                {
                    "command_id": self.new_id(),
                    "user_id": USER,
                    "issued_at": self.now,
                    "reason": "a pack",
                    "count": count,
                    "lasts": lasts,
                }
            )
        )

    @rule(target=sent, plan=st.sampled_from(PLANS))
    def change_plan(self, plan: str) -> QuotaCommand:
        return self.ask(self.plan_changed(plan, None))

    @rule(
        target=sent,
        plan=st.sampled_from(PLANS),
        days=st.one_of(st.integers(-3, 3), st.integers(-400, 3)),
        to_the_day=st.booleans(),
        length=LENGTHS,
    )
    def subscribe(
        self,
        *,
        plan: str,
        days: int,
        to_the_day: bool,
        length: timedelta | str,
    ) -> QuotaCommand:
        start = self.now + timedelta(days=days)
        if to_the_day:
            start = start.replace(hour=0, minute=0, second=0, microsecond=0)
        if isinstance(length, timedelta):
            end = start + length
        else:
            end = start
            for _ in range(1 if length == "month" else 12):
                end = next_month(end, start.day)
        return self.ask(self.plan_changed(plan, Period(start=start, end=end)))

    @rule(target=sent, plan=st.sampled_from(PLANS))
    def renew(self, plan: str) -> QuotaCommand:
        shown = self.show().decision
        start, end = shown.period_start, shown.resets_at
        return self.ask(self.plan_changed(plan, Period(start=start, end=end)))

    @rule(target=sent, plan=st.sampled_from(PLANS))
    def leave_the_plan_and_take_it_again(self, plan: str) -> QuotaCommand:
        before = self.show().decision
        period = Period(start=before.period_start, end=before.resets_at)
        away = self.ask(self.plan_changed("free", None))
        kept = self.show().decision.period_number == before.period_number
        self.ask(self.plan_changed(plan, period))
        after = self.show().decision
        if kept and after.plan == plan:
            assert after.quota_used == before.quota_used
        return away

    @precondition(lambda self: self.offset > 40 and self.restored is None)
    @rule(
        target=spends, count=COUNTS, plan=st.sampled_from([*PLANS, "gone"]), used=st.integers(0, 9)
    )
    def restore_another_account(self, count: int, plan: str, used: int) -> QuotaCommand:
        start = self.now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        past = Spend(
            command_id=self.new_id(),
            user_id=USER,
            issued_at=self.now - timedelta(days=count),
            reason="long ago",
            count=count,
        )
        top_up_id = self.new_id()
        step = decide(None, past, {}, catalogue(1, {"free": 12}), self.new_id())
        command = Restore(
            command_id=self.new_id(),
            user_id=USER,
            issued_at=self.now,
            reason="by hand",
            plan=plan,
            period=Period(start=start, end=next_month(start, 1)),
            subscription=used % 2 == 0,
            plan_credits_used=used,
            top_ups=[
                TopUpLeft(top_up_id=self.new_id(), left=0, used_in_period=count),
                TopUpLeft(top_up_id=top_up_id, left=count, used_in_period=used),
                TopUpLeft(
                    top_up_id=self.new_id(), left=1, ends_at=self.now + timedelta(days=used - 1)
                ),
            ],
            crossed=[80] if used > 4 else [],
            changes=used,
            period_number=used + 1,
            remembered=[
                PastCommand(
                    command_id=past.command_id,
                    fingerprint=fingerprint(past),
                    decision=step.decision,
                    refunded=used == 9,
                )
            ],
        )
        self.ask(command)
        self.restored = command
        # What it brings may be refunded, or sent again.
        return past

    @precondition(lambda self: self.account is not None and self.restored is None)
    @rule()
    def lose_everything_and_restore_it_from_the_ledger(self) -> None:
        before = self.stored()
        assert before is not None
        assert before.latest is not None
        self.now = max(self.now, before.latest)
        command = self.from_the_ledger()
        expected = self.show().decision
        self.account, self.table = None, {}
        self.ask(command)
        after = self.show().decision
        unlike = {"decision_id", "command_id"}
        assert after.model_dump(exclude=unlike) == expected.model_dump(exclude=unlike)

    # What else happens

    @rule(passing=SOON)
    def time_passes(self, passing: timedelta) -> None:
        self.now += passing

    @rule(passing=LATER)
    def a_long_time_passes(self, passing: timedelta) -> None:
        self.now += passing

    @rule(just_before=st.booleans())
    def the_period_ends(self, *, just_before: bool) -> None:
        end = self.show().decision.resets_at
        self.now = max(self.now, end - timedelta(microseconds=just_before))

    @rule(limits=CATALOGUES)
    def the_catalogue_changes(self, limits: dict[str, int]) -> None:
        self.catalogue = catalogue(self.catalogue.version + 1, limits)
        self.journal.catalogue = self.catalogue

    @rule(command=st.one_of(sent, spends), later=st.booleans())
    def a_command_comes_again(self, *, command: QuotaCommand, later: bool) -> None:
        self.ask(command.model_copy(update={"issued_at": self.now} if later else {}))

    @rule(command=st.one_of(sent, spends), count=COUNTS)
    def a_command_comes_again_with_another_content(self, command: QuotaCommand, count: int) -> None:
        if isinstance(command, Spend | TopUp | Refund):
            self.ask(command.model_copy(update={"count": count}))
        self.ask(command.model_copy(update={"reason": "another"}))

    # What holds

    @invariant()
    def an_account_is_shown_as_the_journal_says(self) -> None:
        if hasattr(self, "journal"):
            self.show()

    @invariant()
    def the_ledger_adds_up_to_the_account(self) -> None:
        account = self.stored() if hasattr(self, "journal") else None
        if account is None or self.restored is not None:
            return
        used: Counter[int] = Counter()
        left: Counter[tuple[UUID, datetime | None]] = Counter()
        for decision in self.ledger:
            used[decision.period_number] += decision.change
            for each in decision.top_up_changes:
                left[each.top_up_id, each.ends_at] += each.change
        assert used[account.period_number] == account.used
        held = {(each.top_up_id, each.ends_at): each.left for each in account.top_ups}
        assert held == {each: left[each] for each in held}
        assert min(left.values(), default=0) >= 0
        assert account.changes == len({each.number for each in self.ledger if each.applied})

    # How it is asked

    def ask(self, command: QuotaCommand) -> QuotaCommand:
        step = self.step(command)
        decision = step.decision
        own = UUID(int=self.offset)
        if decision.decision_id not in {own, refusal_id_for(own)}:
            return command
        if decision.kind == "spend" and decision.change > 0:
            assert decision.quota_used <= decision.limit
        refused = decision.problem == "quota_exceeded" and decision.command_id in self.repeatable
        if decision.applied or refused:
            self.ledger.append(decision)
        return command

    def show(self) -> Step:
        return self.step(
            Show(command_id=self.new_id(), user_id=USER, issued_at=self.now, reason="to see")
        )

    def step(self, command: QuotaCommand) -> Step:
        account = self.stored()
        past = {
            each: decode_remembered(self.table[each])
            for each in (command.command_id, getattr(command, "spend_id", None))
            if each in self.table
        }
        decision_id = self.new_id()
        step = decide(account, command, past, self.catalogue, decision_id)

        answer = self.journal.answer(command, decision_id)
        assert plain(step.decision) == plain(answer)
        if not step.remember or not step.decision.applied:
            assert step.account is account

        if step.account is not None:
            self.account = encode_account(step.account)
        for entry in step.remember:
            self.table[entry.command_id] = encode_remembered(entry)
        return step

    def stored(self) -> Account | None:
        return None if self.account is None else decode_account(self.account)

    def new_id(self) -> UUID:
        self.offset += 1
        return UUID(int=self.offset)

    def plan_changed(self, plan: str, period: Period | None) -> PlanChanged:
        return PlanChanged(
            command_id=self.new_id(),
            user_id=USER,
            issued_at=self.now,
            reason="subscribed",
            plan=plan,
            period=period,
        )

    def from_the_ledger(self) -> Restore:
        """What a rebuild knows, which is the ledger."""
        changes = [each for each in self.ledger if each.applied]
        last = changes[-1]
        running = [each for each in changes if each.period_number == last.period_number]
        # An id may come again after it was forgotten, so they are taken in their order.
        spends: dict[UUID, QuotaDecision] = {}
        refunded: set[UUID] = set()
        left: dict[tuple[UUID, datetime | None], list[int]] = {}
        for decision in changes:
            if decision.kind == "spend":
                spends[decision.command_id] = decision
                refunded.discard(decision.command_id)
            elif decision.spend_id is not None:
                refunded.add(decision.spend_id)
            # What a refund gives back of an earlier period's spend was not used in this one.
            spend = spends.get(decision.spend_id or decision.command_id)
            for each in decision.top_up_changes:
                both = left.setdefault((each.top_up_id, each.ends_at), [0, 0])
                both[0] += each.change
                if decision in running and spend in running:
                    both[1] -= each.change
        return Restore(
            command_id=self.new_id(),
            user_id=USER,
            issued_at=self.now,
            reason="Kafka lost its data",
            plan=last.plan,
            period=Period(start=last.period_start, end=last.resets_at),
            subscription=last.subscription,
            plan_credits_used=sum(each.change for each in running),
            top_ups=[
                TopUpLeft(top_up_id=each, left=both[0], used_in_period=both[1], ends_at=ends_at)
                for (each, ends_at), both in left.items()
            ],
            crossed=sorted({each for decision in running for each in decision.crossed}),
            changes=last.number,
            period_number=last.period_number,
            remembered=[
                PastCommand(
                    command_id=each.command_id,
                    fingerprint=each.fingerprint,
                    decision=each,
                    refunded=each.command_id in refunded,
                )
                for each in self.ledger
            ],
        )


def catalogue(version: int, limits: Mapping[str, int]) -> Catalogue:
    plans = {name: Plan(name, name.title(), limit) for name, limit in limits.items()}
    return Catalogue(version, "free", MappingProxyType(plans))


def plain(decision: QuotaDecision) -> dict[str, object]:
    return decision.model_dump(exclude={"fingerprint"})


def test_random_sequences_of_commands_are_answered_as_the_journal_says() -> None:
    run_state_machine_as_test(
        Quotas,
        settings=settings(
            max_examples=200,
            stateful_step_count=50,
            deadline=None,
            # Without the explanation of a failure, which takes minutes.
            phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
