"""Each rule by which credits are decided about, by an example."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Literal
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError

from schemas.plans import Catalogue, Plan
from schemas.quotas import (
    LATEST_MOMENT,
    MAX_CREDITS,
    MAX_TOP_UPS,
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
)
from streams.quotas.account import Account, HeldTopUp, Remembered, Step
from streams.quotas.credits import decide
from streams.quotas.fingerprints import fingerprint
from streams.quotas.outputs import threshold_event

USER = "alice"


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def plans(*, version: int = 1, **limits: int) -> Catalogue:
    return Catalogue(
        version,
        "free",
        MappingProxyType({name: Plan(name, name.title(), each) for name, each in limits.items()}),
    )


class Desk:
    """Asks `decide` as a worker does, and keeps what it says."""

    def __init__(self, now: str = "2026-11-24T09:30") -> None:
        self.now = day(now)
        self.catalogue = plans(free=100, pro=1_000)
        self.account: Account | None = None
        self.memory: dict[UUID, Remembered] = {}
        self.step: Step | None = None

    def ask(self, command: QuotaCommand) -> QuotaDecision:
        ids = {command.command_id, getattr(command, "spend_id", command.command_id)}
        past: Mapping[UUID, Remembered] = {
            each: self.memory[each] for each in ids if each in self.memory
        }
        step = decide(self.account, command, past, self.catalogue, uuid4())
        self.step = step
        self.account = step.account
        self.memory |= {each.command_id: each for each in step.remember}
        return step.decision

    def envelope(self) -> dict[str, object]:
        return {"command_id": uuid4(), "user_id": USER, "issued_at": self.now, "reason": "a test"}

    def spending(self, count: int, *, repeatable: bool = True) -> Spend:
        return Spend.model_validate({**self.envelope(), "count": count, "repeatable": repeatable})

    def refunding(self, spend: Spend, count: int | None = None) -> Refund:
        return Refund.model_validate(
            {**self.envelope(), "spend_id": spend.command_id, "count": count}
        )

    def spend(self, count: int) -> Spend:
        command = self.spending(count)
        assert self.ask(command).applied
        return command

    def top_up(self, count: int, lasts: Literal["period", "used"] = "period") -> UUID:
        command = TopUp.model_validate({**self.envelope(), "count": count, "lasts": lasts})
        assert self.ask(command).applied
        return command.command_id

    def change_plan(self, plan: str, start: str = "", end: str = "") -> QuotaDecision:
        period = Period(start=day(start), end=day(end)) if start else None
        return self.ask(
            PlanChanged.model_validate({**self.envelope(), "plan": plan, "period": period})
        )

    def show(self) -> QuotaDecision:
        return self.ask(Show.model_validate(self.envelope()))

    def restore(self, **account: object) -> QuotaDecision:
        given: dict[str, object] = {
            "plan": "free",
            "period": Period(start=day("2026-11-01"), end=day("2026-12-01")),
            "subscription": False,
            "plan_credits_used": 0,
        }
        return self.ask(Restore.model_validate({**self.envelope(), **given, **account}))


@pytest.fixture
def desk() -> Desk:
    return Desk()


def taken(decision: QuotaDecision) -> list[tuple[UUID, int]]:
    return [(each.top_up_id, each.change) for each in decision.top_up_changes]


# Who is new


def test_a_user_who_was_never_seen_is_on_the_default_plan_in_this_calendar_month(
    desk: Desk,
) -> None:
    shown = desk.show()
    assert (shown.plan, shown.limit, shown.quota_used, shown.remaining) == ("free", 100, 0, 100)
    assert (shown.period_start, shown.resets_at) == (day("2026-11-01"), day("2026-12-01"))
    assert not shown.subscription


def test_the_calendar_month_is_that_of_utc(desk: Desk) -> None:
    desk.now = datetime(2026, 12, 1, 3, tzinfo=timezone(timedelta(hours=9)))
    assert desk.show().period_start == day("2026-11-01")
    assert desk.show().decided_at.tzinfo is UTC


def test_no_account_comes_to_be_by_being_looked_at_or_refused(desk: Desk) -> None:
    desk.show()
    assert desk.account is None
    assert desk.ask(desk.spending(101)).problem == "quota_exceeded"
    assert desk.account is None


# Showing


def test_showing_changes_nothing_and_leaves_nothing(desk: Desk) -> None:
    desk.spend(1)
    before = desk.account
    desk.now = day("2027-03-01")
    shown = desk.show()
    assert (shown.applied, shown.problem, shown.number) == (False, None, 0)
    assert desk.account is before
    assert desk.step is not None
    assert desk.step.remember == ()


def test_showing_sees_the_reset_before_anything_was_spent_in_the_new_period(desk: Desk) -> None:
    desk.spend(60)
    desk.now = day("2026-12-01")
    shown = desk.show()
    assert (shown.quota_used, shown.period_start) == (0, day("2026-12-01"))


def test_showing_with_a_known_id_shows(desk: Desk) -> None:
    spend = desk.spend(60)
    shown = desk.ask(Show.model_validate({**desk.envelope(), "command_id": spend.command_id}))
    assert (shown.kind, shown.problem, shown.quota_used) == ("show", None, 60)


# Spending


def test_a_spend_up_to_the_limit_is_taken_and_the_next_credit_is_not(desk: Desk) -> None:
    desk.spend(100)
    refused = desk.ask(desk.spending(1))
    assert (refused.applied, refused.problem, refused.count) == (False, "quota_exceeded", 1)
    assert (refused.limit, refused.quota_used, refused.remaining) == (100, 100, 0)


def test_a_spend_that_does_not_fit_takes_nothing_at_all(desk: Desk) -> None:
    desk.spend(99)
    desk.top_up(3)
    before = desk.account
    assert desk.ask(desk.spending(5)).problem == "quota_exceeded"
    assert desk.account is before
    assert desk.ask(desk.spending(4)).applied


def test_a_repeatable_refusal_is_given_again_for_48_hours_though_credits_are_free_meanwhile(
    desk: Desk,
) -> None:
    refused = desk.spending(101)
    first = desk.ask(refused)
    desk.top_up(50)
    desk.now += timedelta(hours=48) - timedelta(microseconds=1)
    again = refused.model_copy(update={"issued_at": desk.now})
    assert desk.ask(again) is first
    desk.now += timedelta(microseconds=1)
    assert desk.ask(again.model_copy(update={"issued_at": desk.now})).applied


def test_a_refusal_is_not_taken_for_what_is_applied_when_it_is_decided_again(desk: Desk) -> None:
    """A worker may be killed before it commits, and find other limits when it is back."""
    command, decision_id = desk.spending(101, repeatable=False), uuid4()
    refused, again, applied = (
        decide(None, command, {}, plans(free=limit), decision_id).decision
        for limit in (100, 100, 200)
    )
    assert [refused.problem, applied.problem] == ["quota_exceeded", None]
    assert refused == again
    assert refused.decision_id != applied.decision_id == decision_id


def test_a_refusal_that_is_not_repeatable_is_not_remembered(desk: Desk) -> None:
    refused = desk.spending(101, repeatable=False)
    desk.ask(refused)
    assert desk.memory == {}
    desk.top_up(50)
    assert desk.ask(refused).applied


def test_the_plan_is_spent_first_then_top_ups_by_their_end_then_those_that_last(
    desk: Desk,
) -> None:
    lasting = desk.top_up(10, "used")
    desk.change_plan("free", "2026-10-25", "2026-12-25")
    later = desk.top_up(10)
    desk.change_plan("free", "2026-10-24", "2026-12-10")
    sooner = desk.top_up(10)

    decision = desk.ask(desk.spending(125))
    assert decision.change == 100
    assert taken(decision) == [(sooner, -10), (later, -10), (lasting, -5)]
    assert (decision.limit, decision.quota_used, decision.remaining) == (130, 125, 5)


def test_of_top_ups_with_the_same_end_the_first_is_spent_first(desk: Desk) -> None:
    first, second = desk.top_up(10), desk.top_up(10)
    assert taken(desk.ask(desk.spending(112))) == [(first, -10), (second, -2)]


def test_what_was_used_of_a_top_up_counts_until_the_period_ends(desk: Desk) -> None:
    desk.top_up(10, "used")
    desk.spend(110)
    shown = desk.show()
    assert (shown.limit, shown.quota_used, shown.remaining) == (110, 110, 0)
    desk.now = day("2026-12-01")
    shown = desk.show()
    assert (shown.limit, shown.quota_used, shown.remaining) == (100, 0, 100)


# The limit and the catalogue


def test_a_changed_limit_applies_at_once_and_the_period_keeps_its_usage(desk: Desk) -> None:
    desk.spend(60)
    desk.catalogue = plans(version=2, free=200)
    shown = desk.show()
    assert (shown.plans_version, shown.limit, shown.quota_used) == (2, 200, 60)
    desk.spend(140)


def test_a_limit_below_the_usage_leaves_nothing_and_never_less(desk: Desk) -> None:
    desk.spend(60)
    top_up = desk.top_up(5)
    desk.catalogue = plans(version=2, free=50)
    shown = desk.show()
    assert (shown.limit, shown.quota_used, shown.remaining) == (55, 60, 5)
    assert taken(desk.ask(desk.spending(5))) == [(top_up, -5)]
    assert desk.ask(desk.spending(1)).problem == "quota_exceeded"


def test_a_plan_that_is_gone_is_measured_by_the_default_and_keeps_its_name(desk: Desk) -> None:
    desk.change_plan("pro")
    desk.catalogue = plans(version=2, free=100)
    shown = desk.show()
    assert (shown.plan, shown.limit) == ("pro", 100)


# The same command again


def test_the_same_command_again_gets_the_very_first_answer_and_takes_nothing(desk: Desk) -> None:
    command = desk.spending(10)
    first = desk.ask(command)
    desk.spend(20)
    before = desk.account
    desk.now += timedelta(days=3)
    again = command.model_copy(update={"issued_at": desk.now})
    assert desk.ask(again) is first
    assert desk.account is before
    assert desk.step is not None
    assert desk.step.remember == ()


def test_the_same_id_with_another_content_is_a_conflict_and_takes_nothing(desk: Desk) -> None:
    spend = desk.spend(10)
    before = desk.account
    for other in (
        spend.model_copy(update={"count": 11}),
        TopUp.model_validate({**desk.envelope(), "command_id": spend.command_id, "count": 10}),
        desk.refunding(spend).model_copy(update={"command_id": spend.command_id}),
    ):
        decision = desk.ask(other)
        assert (decision.applied, decision.problem) == (False, "conflict")
        assert desk.account is before
    assert desk.ask(spend).applied


def test_an_applied_command_is_known_for_35_days(desk: Desk) -> None:
    command = desk.spending(10)
    first = desk.ask(command)
    desk.now += timedelta(days=35) - timedelta(microseconds=1)
    assert desk.ask(command.model_copy(update={"issued_at": desk.now})) is first
    desk.now += timedelta(microseconds=1)
    assert desk.ask(command.model_copy(update={"issued_at": desk.now})) is not first


def test_when_and_how_a_command_is_sent_is_not_its_content(desk: Desk) -> None:
    spend = desk.spending(10)
    alike = spend.model_copy(
        update={
            "issued_at": desk.now + timedelta(days=1),
            "command_id": uuid4(),
            "repeatable": False,
        }
    )
    assert fingerprint(spend) == fingerprint(alike)
    assert len(fingerprint(spend)) == 16


def test_every_content_has_a_fingerprint_of_its_own(desk: Desk) -> None:
    envelope = desk.envelope()
    period = {"start": day("2026-11-01"), "end": day("2026-12-01")}
    restore = {"plan": "pro", "period": period, "subscription": False, "plan_credits_used": 1}
    commands: list[QuotaCommand] = [
        Spend.model_validate({**envelope, "count": 1}),
        Spend.model_validate({**envelope, "count": 2}),
        Spend.model_validate({**envelope, "count": 2, "reason": "another"}),
        TopUp.model_validate({**envelope, "count": 1}),
        TopUp.model_validate({**envelope, "count": 1, "lasts": "used"}),
        TopUp.model_validate({**envelope, "count": 1, "lasts": "used", "reason": "another"}),
        Refund.model_validate({**envelope, "spend_id": UUID(int=1)}),
        Refund.model_validate({**envelope, "spend_id": UUID(int=1), "count": 1}),
        Refund.model_validate({**envelope, "spend_id": UUID(int=2), "count": 1}),
        Refund.model_validate({**envelope, "spend_id": UUID(int=1), "reason": "another"}),
        PlanChanged.model_validate({**envelope, "plan": "pro"}),
        PlanChanged.model_validate({**envelope, "plan": "free"}),
        PlanChanged.model_validate({**envelope, "plan": "pro", "period": period}),
        PlanChanged.model_validate({**envelope, "plan": "pro", "reason": "another"}),
        Restore.model_validate({**envelope, **restore}),
        Restore.model_validate({**envelope, **restore, "changes": 1}),
    ]
    assert len({fingerprint(each) for each in commands}) == len(commands)


def test_a_period_in_another_zone_is_the_same_content(desk: Desk) -> None:
    tokyo = timezone(timedelta(hours=9))
    start, end = day("2026-11-01"), day("2026-12-01")
    one = PlanChanged.model_validate(
        {**desk.envelope(), "plan": "pro", "period": {"start": start, "end": end}}
    )
    other = one.model_copy(
        update={"period": Period(start=start.astimezone(tzone := tokyo), end=end.astimezone(tzone))}
    )
    assert fingerprint(one) == fingerprint(other)


# Time


def test_time_never_goes_back(desk: Desk) -> None:
    desk.now = day("2026-12-01")
    desk.spend(1)
    desk.now = day("2026-11-30")
    late = desk.ask(desk.spending(1))
    assert (late.decided_at, late.period_start) == (day("2026-12-01"), day("2026-12-01"))
    assert late.quota_used == 2


def test_a_month_is_over_with_its_last_microsecond(desk: Desk) -> None:
    desk.spend(100)
    desk.now = day("2026-12-01") - timedelta(microseconds=1)
    assert desk.ask(desk.spending(1)).problem == "quota_exceeded"
    desk.now = day("2026-12-01")
    decision = desk.ask(desk.spending(1))
    assert (decision.quota_used, decision.period_number) == (1, 2)


def test_an_account_wakes_up_after_years(desk: Desk) -> None:
    desk.spend(100)
    desk.now = day("2059-02-03")
    assert desk.ask(desk.spending(100)).period_start == day("2059-02-01")


def test_the_last_moment_that_can_be_stored_is_decided_about(desk: Desk) -> None:
    desk.now = LATEST_MOMENT - timedelta(microseconds=1)
    assert desk.ask(desk.spending(1)).resets_at == LATEST_MOMENT
    desk.now = LATEST_MOMENT
    with pytest.raises(ValidationError):
        desk.spending(1)


def test_applied_changes_are_numbered_and_nothing_else_is(desk: Desk) -> None:
    spend = desk.spending(90)
    numbers = [
        desk.ask(spend).number,
        desk.ask(desk.spending(90)).number,
        desk.show().number,
        desk.ask(desk.refunding(spend)).number,
        desk.change_plan("pro").number,
    ]
    assert numbers == [1, 0, 0, 2, 3]


# Refunds


def test_a_refund_gives_back_what_the_spend_took_the_last_taken_first(desk: Desk) -> None:
    top_up = desk.top_up(10)
    spend = desk.spend(105)
    part = desk.ask(desk.refunding(spend, 8))
    assert (part.count, part.change, taken(part)) == (8, -3, [(top_up, 5)])
    assert (part.limit, part.quota_used, part.remaining) == (110, 97, 13)


def test_a_refund_without_a_count_gives_everything_back(desk: Desk) -> None:
    spend = desk.spend(70)
    decision = desk.ask(desk.refunding(spend))
    assert (decision.count, decision.change, decision.quota_used) == (70, -70, 0)
    assert decision.spend_id == spend.command_id


def test_a_spend_is_refunded_once_even_in_part(desk: Desk) -> None:
    spend = desk.spend(10)
    assert desk.ask(desk.refunding(spend, 1)).applied
    again = desk.ask(desk.refunding(spend, 1))
    assert (again.applied, again.problem, again.quota_used) == (False, "already_refunded", 9)


def test_a_refund_that_comes_again_gets_its_first_answer(desk: Desk) -> None:
    refund = desk.refunding(desk.spend(10))
    assert desk.ask(refund) is desk.ask(refund)


def test_a_refund_beyond_the_spend_is_refused(desk: Desk) -> None:
    spend = desk.spend(10)
    assert desk.ask(desk.refunding(spend, 11)).problem == "refund_too_large"
    assert desk.ask(desk.refunding(spend, 10)).applied


def test_only_a_spend_that_was_applied_can_be_refunded(desk: Desk) -> None:
    never_sent = desk.spending(10)
    refused = desk.spending(101)
    desk.ask(refused)
    spend = desk.spend(1)
    refund = desk.refunding(spend)
    desk.ask(refund)
    of_a_refund = desk.refunding(spend.model_copy(update={"command_id": refund.command_id}))
    for each in (desk.refunding(never_sent), desk.refunding(refused), of_a_refund):
        assert desk.ask(each).problem == "unknown_spend"


def test_a_spend_can_be_refunded_for_35_days(desk: Desk) -> None:
    desk.change_plan("pro", "2026-11-20", "2027-11-20")
    one, other = desk.spend(1), desk.spend(1)
    desk.now += timedelta(days=35) - timedelta(microseconds=1)
    assert desk.ask(desk.refunding(one)).applied
    desk.now += timedelta(microseconds=1)
    assert desk.ask(desk.refunding(other)).problem == "unknown_spend"


def test_credits_of_a_plan_whose_period_is_over_stay_expired(desk: Desk) -> None:
    spend = desk.spend(10)
    desk.now = day("2026-12-01")
    desk.spend(20)
    before = desk.account
    decision = desk.ask(desk.refunding(spend))
    assert (decision.problem, decision.quota_used) == ("period_over", 20)
    assert desk.account is before
    assert not desk.memory[spend.command_id].refunded


def test_a_lasting_top_up_gets_its_credits_back_in_a_later_period_the_plan_does_not(
    desk: Desk,
) -> None:
    top_up = desk.top_up(5, "used")
    spend = desk.spend(105)
    desk.now = day("2026-12-01")
    desk.spend(10)
    decision = desk.ask(desk.refunding(spend))
    assert (decision.count, decision.change, taken(decision)) == (5, 0, [(top_up, 5)])
    assert (decision.limit, decision.quota_used, decision.remaining) == (105, 10, 95)


def test_what_a_lasting_top_up_gets_back_of_an_earlier_period_was_not_used_in_this_one(
    desk: Desk,
) -> None:
    desk.top_up(20, "used")
    spend = desk.spend(105)
    desk.now = day("2026-12-01")
    desk.spend(107)
    decision = desk.ask(desk.refunding(spend))
    assert (decision.count, decision.quota_used, decision.remaining) == (5, 107, 13)


def test_a_top_up_that_has_ended_gets_nothing_back(desk: Desk) -> None:
    desk.change_plan("free", "2026-11-20", "2026-11-27")
    desk.top_up(5)
    spend = desk.spend(105)
    desk.change_plan("free", "2026-11-20", "2026-12-20")
    desk.now = day("2026-11-27")
    decision = desk.ask(desk.refunding(spend))
    assert (decision.count, decision.change, taken(decision)) == (100, -100, [])
    assert (decision.limit, decision.quota_used, decision.remaining) == (105, 5, 100)


def test_a_refund_of_a_spend_before_a_change_of_plan_that_kept_the_usage_gives_it_back(
    desk: Desk,
) -> None:
    desk.change_plan("pro", "2026-11-20", "2026-12-20")
    spend = desk.spend(30)
    assert desk.change_plan("free").period_start == day("2026-11-01")
    decision = desk.ask(desk.refunding(spend))
    assert (decision.change, decision.quota_used) == (-30, 0)


def test_a_refund_of_a_spend_before_a_reset_gives_nothing_though_the_start_is_the_same_again(
    desk: Desk,
) -> None:
    spend = desk.spend(30)
    desk.change_plan("pro", "2026-11-20", "2026-12-20")
    desk.spend(7)
    assert desk.change_plan("free").period_start == day("2026-11-01")
    decision = desk.ask(desk.refunding(spend))
    assert (decision.problem, decision.quota_used) == ("period_over", 7)


# Top-ups


def test_a_top_up_for_the_period_ends_with_it(desk: Desk) -> None:
    desk.top_up(50)
    desk.spend(120)
    desk.now = day("2026-12-01")
    assert desk.show().limit == 100


def test_a_top_up_until_it_is_used_outlasts_the_period(desk: Desk) -> None:
    desk.top_up(50, "used")
    desk.spend(120)
    desk.now = day("2026-12-01")
    shown = desk.show()
    assert (shown.limit, shown.remaining) == (130, 130)


def test_a_top_up_says_what_it_gave_and_until_when(desk: Desk) -> None:
    command = TopUp.model_validate({**desk.envelope(), "count": 50})
    decision = desk.ask(command)
    (change,) = decision.top_up_changes
    assert (change.top_up_id, change.change) == (command.command_id, 50)
    assert change.ends_at == day("2026-12-01")
    assert (decision.count, decision.change, decision.limit) == (50, 0, 150)


def test_a_top_up_keeps_its_end_when_the_period_becomes_longer(desk: Desk) -> None:
    desk.change_plan("free", "2026-11-20", "2026-11-27")
    desk.top_up(50)
    desk.change_plan("free", "2026-11-20", "2026-12-20")
    desk.spend(110)
    desk.now = day("2026-11-27")
    shown = desk.show()
    # Ten were used in the period, forty are gone.
    assert (shown.limit, shown.quota_used, shown.remaining) == (110, 110, 0)


def test_an_account_holds_so_many_top_ups_and_a_used_one_makes_room(desk: Desk) -> None:
    for _ in range(MAX_TOP_UPS):
        desk.top_up(1)
    one_more = TopUp.model_validate({**desk.envelope(), "count": 1})
    decision = desk.ask(one_more)
    assert (decision.applied, decision.problem) == (False, "too_many_top_ups")
    desk.spend(101)
    assert desk.ask(one_more).applied


def test_a_top_up_whose_id_comes_again_after_it_was_forgotten_has_an_end_of_its_own(
    desk: Desk,
) -> None:
    desk.change_plan("pro", "2026-11-20", "2027-11-20")
    command = TopUp.model_validate({**desk.envelope(), "count": 50})
    desk.ask(command)
    desk.now += timedelta(days=35)
    desk.change_plan("pro", "2026-11-20", "2027-02-20")
    desk.ask(command.model_copy(update={"issued_at": desk.now}))
    assert desk.account is not None
    assert desk.account.top_ups == (
        HeldTopUp(command.command_id, 50, day("2027-02-20")),
        HeldTopUp(command.command_id, 50, day("2027-11-20")),
    )


def test_a_refund_brings_a_used_top_up_back_though_there_are_many(desk: Desk) -> None:
    first = desk.top_up(1)
    spend = desk.spend(101)
    for _ in range(MAX_TOP_UPS):
        desk.top_up(1)
    assert taken(desk.ask(desk.refunding(spend, 1))) == [(first, 1)]
    assert desk.show().remaining == MAX_TOP_UPS + 1


# Plans


def test_a_plan_without_a_period_is_in_calendar_months_and_keeps_the_usage(desk: Desk) -> None:
    desk.spend(60)
    decision = desk.change_plan("pro")
    assert (decision.plan, decision.limit, decision.quota_used) == ("pro", 1_000, 60)
    assert (decision.period_start, decision.subscription) == (day("2026-11-01"), False)


def test_a_subscription_that_begins_later_than_the_running_period_begins_with_no_usage(
    desk: Desk,
) -> None:
    desk.spend(60)
    decision = desk.change_plan("pro", "2026-11-24", "2026-12-24")
    assert (decision.quota_used, decision.subscription) == (0, True)
    assert (decision.period_start, decision.resets_at) == (day("2026-11-24"), day("2026-12-24"))


@pytest.mark.parametrize("start", ["2026-11-01", "2026-10-20"])
def test_a_subscription_that_begins_no_later_keeps_the_usage(desk: Desk, start: str) -> None:
    desk.spend(90)
    decision = desk.change_plan("pro", start, "2026-12-01")
    assert (decision.quota_used, decision.period_start) == (90, day(start))


def test_a_cancelled_subscription_keeps_the_usage_of_this_month(desk: Desk) -> None:
    desk.change_plan("pro", "2026-11-20", "2026-12-20")
    desk.spend(300)
    decision = desk.change_plan("free")
    assert (decision.limit, decision.quota_used, decision.remaining) == (100, 300, 0)


def test_a_subscription_cancelled_in_a_later_month_begins_it_with_no_usage(desk: Desk) -> None:
    desk.change_plan("pro", "2026-11-20", "2026-12-20")
    desk.spend(300)
    desk.now = day("2026-12-05")
    decision = desk.change_plan("free")
    assert (decision.quota_used, decision.period_start) == (0, day("2026-12-01"))


def test_a_subscription_goes_on_by_its_own_months_until_news_of_it_come(desk: Desk) -> None:
    desk.now = day("2027-01-31T12:00")
    desk.change_plan("pro", "2027-01-31", "2027-02-28")
    desk.spend(5)
    starts = []
    for month in ("2027-02-28", "2027-03-30", "2027-03-31", "2027-04-30"):
        desk.now = day(month)
        starts.append(desk.ask(desk.spending(1)).period_start)
    assert starts == [
        day("2027-02-28"),
        day("2027-02-28"),
        day("2027-03-31"),
        day("2027-04-30"),
    ]


def test_the_renewal_that_comes_late_keeps_what_was_used_since(desk: Desk) -> None:
    desk.change_plan("pro", "2026-11-24", "2026-12-24")
    desk.spend(400)
    desk.now = day("2026-12-24T00:01")
    desk.spend(3)
    decision = desk.change_plan("pro", "2026-12-24", "2027-01-24")
    assert (decision.quota_used, decision.resets_at) == (3, day("2027-01-24"))


def test_a_subscription_whose_period_is_over_goes_on_from_there(desk: Desk) -> None:
    decision = desk.change_plan("pro", "2026-08-31", "2026-09-30")
    assert (decision.period_start, decision.resets_at) == (day("2026-10-31"), day("2026-11-30"))


def test_old_news_of_a_subscription_do_not_give_usage_back(desk: Desk) -> None:
    desk.change_plan("pro", "2026-11-20", "2026-12-20")
    desk.spend(500)
    decision = desk.change_plan("pro", "2026-09-10", "2026-10-10")
    assert (decision.period_start, decision.quota_used) == (day("2026-11-10"), 500)


def test_a_plan_that_is_left_and_taken_again_with_the_same_period_keeps_the_usage(
    desk: Desk,
) -> None:
    desk.now = day("2026-11-10T12:00")
    desk.change_plan("pro", "2026-11-10", "2026-12-10")
    desk.spend(1_000)
    desk.now = day("2026-11-13")
    assert desk.change_plan("free").quota_used == 1_000
    assert desk.change_plan("pro", "2026-11-10", "2026-12-10").quota_used == 1_000
    # One that begins later than usage last did is another period.
    assert desk.change_plan("pro", "2026-11-11", "2026-12-11").quota_used == 0


@pytest.mark.parametrize("early", [timedelta(minutes=5), timedelta(minutes=5, microseconds=1)])
def test_a_period_that_has_not_begun_is_refused_but_for_clocks_that_differ(
    desk: Desk, early: timedelta
) -> None:
    desk.spend(60)
    before = desk.account
    period = Period(start=desk.now + early, end=desk.now + timedelta(days=30))
    decision = desk.ask(
        PlanChanged.model_validate({**desk.envelope(), "plan": "pro", "period": period})
    )
    if early == timedelta(minutes=5):
        assert decision.applied
        return
    assert (decision.problem, decision.plan) == ("period_not_begun", "free")
    assert desk.account is before


def test_a_plan_that_is_not_in_the_catalogue_is_refused(desk: Desk) -> None:
    desk.spend(60)
    before = desk.account
    decision = desk.change_plan("gold")
    assert (decision.applied, decision.problem, decision.plan) == (False, "unknown_plan", "free")
    assert desk.account is before


@pytest.mark.parametrize("end", ["2026-11-01", "2026-10-31"])
def test_a_period_without_a_length_is_refused(end: str) -> None:
    with pytest.raises(ValidationError, match="later than"):
        Period(start=day("2026-11-01"), end=day(end))


# Thresholds


def test_80_and_100_percent_are_crossed_once_a_period(desk: Desk) -> None:
    crossed = [desk.ask(desk.spending(count)).crossed for count in (79, 1, 1)]
    spend = desk.spending(19)
    crossed.append(desk.ask(spend).crossed)
    desk.ask(desk.refunding(spend))
    crossed.append(desk.ask(desk.spending(19)).crossed)
    assert crossed == [[], [80], [], [100], []]
    desk.now = day("2026-12-01")
    assert desk.ask(desk.spending(100)).crossed == [80, 100]


def test_thresholds_are_of_plan_and_top_ups_together(desk: Desk) -> None:
    desk.top_up(100)
    assert desk.ask(desk.spending(159)).crossed == []
    assert desk.ask(desk.spending(1)).crossed == [80]


def test_a_period_that_begins_by_a_change_of_plan_has_its_own_thresholds(desk: Desk) -> None:
    assert desk.ask(desk.spending(80)).crossed == [80]
    desk.change_plan("free", "2026-11-24", "2026-12-24")
    assert desk.ask(desk.spending(80)).crossed == [80]


def test_periods_with_one_start_have_threshold_events_of_their_own(desk: Desk) -> None:
    ids = set()
    for _ in range(2):
        decision = desk.ask(desk.spending(80))
        assert (decision.crossed, decision.period_start) == ([80], day("2026-11-01"))
        ids.add(threshold_event(decision, 80).event_id)
        # A period of its own, which ends, and the calendar month again.
        desk.now += timedelta(hours=2)
        period = Period(start=desk.now, end=desk.now + timedelta(days=7))
        desk.ask(PlanChanged.model_validate({**desk.envelope(), "plan": "free", "period": period}))
        desk.change_plan("free")
    assert len(ids) == 2


def test_thresholds_stay_crossed_when_the_usage_is_kept(desk: Desk) -> None:
    assert desk.ask(desk.spending(80)).crossed == [80]
    desk.change_plan("pro")
    assert desk.ask(desk.spending(720)).crossed == []


def test_a_refusal_crosses_nothing(desk: Desk) -> None:
    assert desk.ask(desk.spending(101)).crossed == []
    assert desk.ask(desk.spending(100)).crossed == [80, 100]


# Restoring


def test_a_restored_account_is_what_the_command_says_whatever_it_was(desk: Desk) -> None:
    desk.spend(77)
    lasting, ending, used_up, ended = uuid4(), uuid4(), uuid4(), uuid4()
    decision = desk.restore(
        plan="pro",
        period=Period(start=day("2026-11-20"), end=day("2026-12-20")),
        usage_since=day("2026-11-22"),
        subscription=True,
        plan_credits_used=12,
        top_ups=[
            TopUpLeft(top_up_id=lasting, left=5, used_in_period=1),
            TopUpLeft(top_up_id=ending, left=6, used_in_period=2, ends_at=day("2026-12-20")),
            TopUpLeft(top_up_id=used_up, left=0, used_in_period=4),
            TopUpLeft(top_up_id=ended, left=9, ends_at=desk.now),
        ],
        crossed=[80],
        changes=41,
        period_number=8,
    )
    assert desk.account == Account(
        user_id=USER,
        plan="pro",
        period_start=day("2026-11-20"),
        period_end=day("2026-12-20"),
        usage_since=day("2026-11-22"),
        subscription=True,
        anchor_day=20,
        period_number=8,
        used=12,
        top_up_credits_used=7,
        top_ups=(HeldTopUp(ending, 6, day("2026-12-20")), HeldTopUp(lasting, 5)),
        crossed=frozenset({80}),
        changes=41,
        latest=desk.now,
    )
    assert (decision.applied, decision.change, decision.number) == (True, 0, 41)
    assert taken(decision) == []
    assert (decision.limit, decision.quota_used, decision.remaining) == (1_018, 19, 999)


def test_a_restored_account_counts_on_where_the_ledger_ended(desk: Desk) -> None:
    desk.restore(changes=41, plan_credits_used=99)
    decision = desk.ask(desk.spending(1))
    assert (decision.number, decision.quota_used) == (42, 100)


def test_a_restored_account_whose_period_is_over_is_in_the_running_one(desk: Desk) -> None:
    decision = desk.restore(
        period=Period(start=day("2026-09-01"), end=day("2026-10-01")),
        plan_credits_used=99,
        period_number=3,
    )
    assert (decision.quota_used, decision.period_start) == (0, day("2026-11-01"))
    assert decision.period_number == 4


def test_a_restored_account_knows_its_commands_again(desk: Desk) -> None:
    elsewhere = Desk()
    spend, refunded, old, refused = (elsewhere.spending(each) for each in (10, 20, 5, 101))
    decisions = [elsewhere.ask(each) for each in (spend, refunded, old, refused)]
    decisions[2] = decisions[2].model_copy(update={"decided_at": desk.now - timedelta(days=35)})
    desk.restore(
        plan_credits_used=15,
        changes=4,
        remembered=[
            PastCommand(
                command_id=each.command_id,
                fingerprint=each.fingerprint,
                decision=each,
                refunded=each.command_id == refunded.command_id,
            )
            for each in decisions
        ],
    )
    assert desk.ask(spend) == decisions[0]
    assert desk.ask(spend.model_copy(update={"count": 11})).problem == "conflict"
    assert desk.ask(desk.refunding(refunded)).problem == "already_refunded"
    assert desk.ask(desk.refunding(spend)).change == -10
    assert desk.ask(refused) == decisions[3]
    assert desk.ask(old).number == 6
    desk.now += timedelta(hours=48)
    assert desk.ask(refused.model_copy(update={"issued_at": desk.now})) != decisions[3]


def test_a_refund_never_gives_back_more_than_a_restored_account_has_used(desk: Desk) -> None:
    spend = desk.spend(30)
    desk.restore(plan_credits_used=10, changes=1)
    decision = desk.ask(desk.refunding(spend))
    assert (decision.count, decision.change, decision.quota_used) == (10, -10, 0)


def test_nor_does_it_when_the_credits_were_of_a_top_up(desk: Desk) -> None:
    desk.top_up(30, "used")
    spend = desk.spend(130)
    desk.restore(changes=2, top_ups=[TopUpLeft(top_up_id=uuid4(), left=0, used_in_period=10)])
    decision = desk.ask(desk.refunding(spend, 30))
    assert (decision.count, decision.quota_used, decision.remaining) == (30, 0, 130)


def test_a_restore_that_comes_again_does_not_undo_what_was_spent_since(desk: Desk) -> None:
    desk.restore(changes=3)
    restore_id, entry = next(iter(desk.memory.items()))
    assert entry.decision.kind == "restore"
    desk.spend(10)
    again = Restore.model_validate(
        {
            **desk.envelope(),
            "command_id": restore_id,
            "plan": "free",
            "period": Period(start=day("2026-11-01"), end=day("2026-12-01")),
            "subscription": False,
            "plan_credits_used": 0,
            "changes": 3,
        }
    )
    assert desk.ask(again) is entry.decision
    assert desk.show().quota_used == 10


# Bounds


def test_an_account_with_all_that_it_may_hold_is_still_decided_about(desk: Desk) -> None:
    desk.catalogue = plans(free=10**12)
    desk.restore(
        plan_credits_used=(1 << 52) - 1,
        changes=(1 << 52) - 1,
        period_number=(1 << 52) - 1,
        top_ups=[
            TopUpLeft(top_up_id=uuid4(), left=MAX_CREDITS, used_in_period=MAX_CREDITS)
            for _ in range(10 * MAX_TOP_UPS)
        ],
    )
    decision = desk.ask(desk.spending(MAX_CREDITS))
    assert decision.applied
    assert (decision.number, decision.change) == (1 << 52, 0)


def test_the_same_arguments_give_the_same_step(desk: Desk) -> None:
    top_up = desk.top_up(5)
    command = desk.spending(103)
    decision_id = uuid4()
    steps = [decide(desk.account, command, {}, desk.catalogue, decision_id) for _ in range(2)]
    assert steps[0] == steps[1]
    assert steps[0].decision.model_dump_json() == steps[1].decision.model_dump_json()
    assert desk.account is not None
    assert desk.account.top_ups == (HeldTopUp(top_up, 5, day("2026-12-01")),)


def test_an_entry_that_is_marked_refunded_is_kept_no_longer_for_it(desk: Desk) -> None:
    spend = desk.spend(10)
    before = desk.memory[spend.command_id]
    desk.now += timedelta(days=3)
    desk.ask(desk.refunding(spend))
    assert desk.memory[spend.command_id] == replace(before, refunded=True)
