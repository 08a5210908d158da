"""The ledger adds up to the account: whatever was decided, and whenever data was lost."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from api.quotas.ledger import Ledger
from schemas.plans import Catalogue, Plan
from schemas.quotas import (
    Period,
    PlanChanged,
    QuotaCommand,
    QuotaDecision,
    Refund,
    Restore,
    Spend,
    TopUp,
)
from streams.quotas.account import Account, HeldTopUp, Remembered
from streams.quotas.credits import decide
from streams.quotas.standing import at, figures, opened

CATALOGUE: Final = Catalogue(
    1,
    "free",
    MappingProxyType(
        {name: Plan(name, name, limit) for name, limit in (("free", 10), ("pro", 50))}
    ),
)
START: Final = datetime(2026, 1, 28, 12, tzinfo=UTC)
USER: Final = "u-1"


def identity(number: int) -> UUID:
    return UUID(int=number)


@dataclass
class World:
    """An account's table as the worker keeps it, and all that it ever decided."""

    account: Account | None = None
    past: dict[UUID, Remembered] = field(default_factory=dict)
    decisions: list[QuotaDecision] = field(default_factory=list)
    asked: int = 0

    def decide(self, command: QuotaCommand) -> QuotaDecision:
        self.asked += 1
        past: Mapping[UUID, Remembered] = self.past
        step = decide(self.account, command, past, CATALOGUE, identity(10_000 + self.asked))
        self.account = step.account
        for each in step.remember:
            self.past[each.command_id] = each
        # As on Kafka: in JSON, and an answer given again is not published again.
        if all(each.decision_id != step.decision.decision_id for each in self.decisions):
            self.decisions.append(
                QuotaDecision.model_validate_json(step.decision.model_dump_json())
            )
        return step.decision

    def lose(self) -> None:
        """Kafka's data is gone, the ledger is not."""
        self.account = None
        self.past = {}

    def rebuild(self, now: datetime) -> Restore:
        """Restores what the ledger says, until it says what was restored, as an admin does."""
        restore: Restore | None = None
        for attempt in range(3):
            ledger = Ledger.of(self.decisions)
            restore = ledger.restore(identity(20_000 + self.asked), USER, now, "rebuilt")
            assert restore is not None
            past = [ledger.past_command(each, now) for each in self.decisions]
            remembered = [each for each in past if each is not None]
            restore = restore.model_copy(update={"remembered": remembered})
            restore = Restore.model_validate_json(restore.model_dump_json(exclude_none=True))
            self.decide(restore)
            if (
                attempt
                and restore.plan_credits_used == Ledger.of(self.decisions).usage().plan_credits
            ):
                return restore
        assert restore is not None
        return restore


@st.composite
def histories(draw: st.DrawFn, *, most: int = 40) -> list[QuotaCommand | timedelta]:
    """Commands, and how much time passes between them."""
    history: list[QuotaCommand | timedelta] = []
    now = START
    spends: list[UUID] = []
    for number in range(1, draw(st.integers(1, most)) + 1):
        now += timedelta(
            seconds=draw(
                st.sampled_from([0, 1, 3_600, 86_400, 5 * 86_400, 20 * 86_400, 70 * 86_400])
            )
        )
        # Now and then the same command again.
        command_id = identity(draw(st.integers(max(1, number - 2), number)))
        given_: dict[str, object] = {
            "command_id": command_id,
            "user_id": USER,
            "issued_at": now,
            "reason": "why",
        }
        match draw(st.sampled_from(["spend"] * 5 + ["refund"] * 3 + ["top_up"] * 2 + ["plan"])):
            case "spend":
                spends.append(command_id)
                history.append(Spend.model_validate({**given_, "count": draw(st.integers(1, 12))}))
            case "refund":
                spend_id = draw(st.sampled_from(spends)) if spends else identity(9_999)
                count = draw(st.none() | st.integers(1, 6))
                history.append(
                    Refund.model_validate({**given_, "spend_id": spend_id, "count": count})
                )
            case "top_up":
                lasts = draw(st.sampled_from(["period", "used"]))
                count = draw(st.integers(1, 8))
                history.append(TopUp.model_validate({**given_, "count": count, "lasts": lasts}))
            case _:
                begin = now - timedelta(days=draw(st.integers(-2, 40)))
                days = draw(st.sampled_from([7, 30, 31]))
                period = draw(
                    st.none() | st.just(Period(start=begin, end=begin + timedelta(days=days)))
                )
                plan = draw(st.sampled_from(["free", "pro", "pro", "gone"]))
                history.append(
                    PlanChanged.model_validate({**given_, "plan": plan, "period": period})
                )
    return history


def after(world: World, now: datetime) -> Account:
    """The account as it stands then.

    But for the anchor of periods that do not go by months, and with top-ups as one that were
    granted under the same id after it was forgotten.
    """
    assert world.account is not None
    account = at(world.account, now)
    days = (account.period_end - account.period_start).days
    held: dict[tuple[UUID, datetime | None], int] = {}
    for each in account.top_ups:
        held[each.top_up_id, each.ends_at] = held.get((each.top_up_id, each.ends_at), 0) + each.left
    return replace(
        account,
        latest=None,
        anchor_day=account.anchor_day if days >= 28 else 0,
        top_ups=tuple(HeldTopUp(name, left, end) for (name, end), left in held.items()),
    )


@settings(max_examples=60)
@given(histories())
def test_decisions_add_up_to_the_account_and_a_rebuild_makes_it_again(
    history: list[QuotaCommand],
) -> None:
    world = World()
    for command in history:
        world.decide(command)
    ledger = Ledger.of(world.decisions)
    now = history[-1].issued_at
    if world.account is None:
        assert ledger.standing is None
        return
    usage = ledger.usage()
    assert usage.plan_credits == world.account.used
    assert usage.total == world.account.top_up_credits_used + world.account.used
    assert usage.crossed == world.account.crossed
    assert ledger.changes == world.account.changes

    expected = after(world, now)
    world.lose()
    world.rebuild(now)
    assert after(world, now) == expected
    # Once more changes nothing.
    world.rebuild(now)
    assert after(world, now) == expected


@settings(max_examples=60)
@given(histories())
def test_a_rebuild_anywhere_goes_unnoticed_by_all_that_follows(history: list[QuotaCommand]) -> None:
    whole, broken = World(), World()
    for number, command in enumerate(history):
        if number == len(history) // 2 and whole.account is not None:
            broken.lose()
            broken.rebuild(history[number - 1].issued_at)
        expected = whole.decide(command)
        found = broken.decide(command)
        ids = {"decision_id": identity(0), "period_number": 0}
        assert found.model_copy(update=ids) == expected.model_copy(update=ids)


@settings(max_examples=60)
@given(histories(most=15), histories(most=15), histories(most=15))
def test_after_a_rebuild_however_late_the_ledger_adds_up_to_the_account_for_ever(
    before: list[QuotaCommand], meanwhile: list[QuotaCommand], later: list[QuotaCommand]
) -> None:
    world = World()
    moment = START

    def decide_all(commands: list[QuotaCommand], ids_from: int) -> None:
        nonlocal moment
        begin = moment
        for each in commands:
            moment = begin + (each.issued_at - START)
            names = {
                name: identity(ids_from + getattr(each, name).int)
                for name in ("command_id", "spend_id")
                if hasattr(each, name)
            }
            world.decide(each.model_copy(update={"issued_at": moment, **names}))

    def agree() -> bool:
        ledger = Ledger.of(world.decisions)
        account = after(world, moment)
        held = sum(each.left for each in account.top_ups)
        standing = ledger.standing
        assert standing is not None
        over = standing.end <= account.period_start
        used = 0 if over else ledger.usage().total
        return (standing.plan, used, ledger.left(moment)) == (
            *(account.plan, account.used + account.top_up_credits_used, held),
        )

    decide_all(before, 0)
    world.lose()
    decide_all(meanwhile, 100)
    if not any(each.applied for each in world.decisions):
        return
    world.rebuild(moment)
    assert agree()
    expected = after(world, moment)
    world.rebuild(moment)
    assert after(world, moment) == expected
    decide_all(later, 0)
    assert agree()
    world.lose()
    world.rebuild(moment)
    assert agree()


def test_what_was_decided_before_the_rebuild_counts_too() -> None:
    world = World()
    moment = START

    def spend(number: int, count: int) -> QuotaDecision:
        nonlocal moment
        moment += timedelta(minutes=1)
        return world.decide(
            Spend(
                command_id=identity(number),
                user_id=USER,
                issued_at=moment,
                reason="why",
                count=count,
            )
        )

    world.decide(
        PlanChanged(
            command_id=identity(1),
            user_id=USER,
            issued_at=moment,
            reason="paid",
            plan="pro",
            period=Period(start=START, end=START + timedelta(days=30)),
        )
    )
    spend(2, 20)
    world.decide(
        TopUp(
            command_id=identity(3),
            user_id=USER,
            issued_at=moment,
            reason="gift",
            count=5,
            lasts="used",
        )
    )
    world.lose()
    # On the default plan, as nothing else is known: numbers begin again at 1.
    assert [spend(4, 7).plan, spend(5, 2).number] == ["free", 2]
    world.rebuild(moment)
    account = after(world, moment)
    assert [account.plan, account.used, account.changes] == ["pro", 29, 3]
    assert figures(account, CATALOGUE) == (55, 29, 26)

    # What was spent in between can be given back, and goes on in the same numbers.
    moment += timedelta(minutes=1)
    refund = Refund(
        command_id=identity(6), user_id=USER, issued_at=moment, reason="why", spend_id=identity(4)
    )
    assert [(refunded := world.decide(refund)).applied, refunded.number] == [True, 4]
    spend(7, 1)
    assert Ledger.of(world.decisions).usage().plan_credits == after(world, moment).used == 23

    # Lost once more, half a year later: what is decided then counts where the restore finds it.
    world.lose()
    moment += timedelta(days=180)
    spend(8, 3)
    world.rebuild(moment)
    account = after(world, moment)
    assert [account.plan, account.used] == ["pro", 3]
    assert account.period_start <= moment < account.period_end
    assert account.period_end - account.period_start in {timedelta(days=30), timedelta(days=31)}


def test_a_refund_before_the_rebuild_counts_only_where_its_spend_does() -> None:
    """Found by the test above: a spend before the running period, its refund within it."""
    world = World()
    period = Period(start=START + timedelta(days=1), end=START + timedelta(days=8))
    common = {"user_id": USER, "reason": "why"}
    world.decide(
        PlanChanged.model_validate(
            {
                **common,
                "command_id": identity(1),
                "issued_at": START,
                "plan": "pro",
                "period": period,
            }
        )
    )
    world.lose()
    spend = {**common, "command_id": identity(2), "issued_at": START, "count": 3}
    world.decide(Spend.model_validate(spend))
    moment = period.start + timedelta(hours=1)
    refund = {**common, "command_id": identity(3), "issued_at": moment, "spend_id": identity(2)}
    assert world.decide(Refund.model_validate(refund)).change == -3
    world.rebuild(moment)
    assert Ledger.of(world.decisions).usage().total == after(world, moment).used == 0


def test_a_restore_that_would_undo_a_later_change_is_refused() -> None:
    world = World()
    for number in (1, 2):
        world.decide(
            Spend(command_id=identity(number), user_id=USER, issued_at=START, reason="why", count=3)
        )
    before = world.account
    restore = Ledger.of(world.decisions[:1]).restore(identity(3), USER, START, "rebuilt")
    assert restore is not None
    refused = world.decide(restore.model_copy(update={"replaces": 1}))
    assert (refused.applied, refused.problem, refused.number) == (False, "conflict", 0)
    assert world.account == before
    assert world.decide(restore.model_copy(update={"replaces": 2})).quota_used == 3


def test_copies_of_decisions_add_nothing() -> None:
    world = World()
    for number in range(1, 6):
        world.decide(
            Spend(command_id=identity(number), user_id=USER, issued_at=START, reason="why", count=1)
        )
    copied = [*world.decisions, *world.decisions[2:]]
    assert Ledger.of(copied).usage().plan_credits == 5
    assert Ledger.of(copied).changes == 5


def test_without_a_change_there_is_nothing_to_restore() -> None:
    assert opened(USER, "free", START).used == 0
    assert Ledger.of([]).restore(identity(1), USER, START, "rebuilt") is None
