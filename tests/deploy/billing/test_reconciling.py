"""Differences between events, reports and Stripe's hours: found, explained, and ended."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.billing.standing import UsedEvent
from schemas.billing import (
    MAX_VALUE,
    CancelReport,
    CustomerLinked,
    ReportState,
    UsageCounted,
    report_id_for,
)
from tests.deploy.billing.worker_model import CUSTOMER, DAY, METER, NOON, World

OLD = timedelta(hours=24)


def kinds(world: World) -> list[str]:
    return [each.kind for each in world.compared().findings]


def problems(world: World) -> list[str]:
    return [each.problem for each in world.compared().findings]


def test_what_agrees_has_no_findings() -> None:
    world = World()
    for hour in (0, 9, 23):
        world.event(3, hour=hour, report="sent")
    world.window([world.event(2), world.event(5)])
    # Not to be billed, so not reported.
    world.event(0)
    assert kinds(world) == []


def test_an_event_without_a_report_is_reported_as_the_worker_would_itself() -> None:
    world = World()
    world.event(report="sent")
    event = world.event(7)
    [finding] = world.compared().findings
    assert (finding.kind, finding.event_id, finding.expected) == ("missing", event.event_id, 7)
    assert finding.commands == (
        UsageCounted(
            report_id=report_id_for(event.event_id, METER),
            event_id=event.event_id,
            meter=METER,
            value=7,
            occurred_at=event.occurred_at,
            user_id="u-1",
            customer_id=CUSTOMER,
        ),
    )


@pytest.mark.parametrize("state", ["rejected", "uncertain", "cancelled"])
def test_what_stripe_has_not_counted_is_reported_under_the_next_revision(
    state: ReportState,
) -> None:
    world = World()
    event = world.event(7, report=state)
    [command] = world.commands()
    assert isinstance(command, UsageCounted)
    assert command.report_id == report_id_for(event.event_id, METER, 1)
    # Until that one has a state, it is the same each time: what is sent twice counts once.
    assert world.commands() == [command]


def test_the_next_revision_is_the_first_that_has_no_report() -> None:
    world = World()
    event = world.event(7, report="rejected")
    world.report(event, "rejected", revision=1)
    world.report(event, "rejected", revision=3)
    [command] = world.commands()
    assert isinstance(command, UsageCounted)
    assert command.report_id == report_id_for(event.event_id, METER, 2)


def test_a_report_without_an_answer_that_stripe_has_counted_was_sent() -> None:
    world = World()
    world.event(2, report="sent")
    report = world.report(world.event(7), "uncertain")
    world.counted[report.report_id] = (DAY + timedelta(hours=9), 7)
    compared = world.compared()
    assert (list(compared.findings), compared.counted) == ([], 7)


def test_of_reports_without_an_answer_as_many_were_sent_as_stripe_has_room_for() -> None:
    world = World()
    reports = [world.report(world.event(7), "uncertain") for _ in range(5)]
    for each in reports[:3]:
        world.counted[each.report_id] = (DAY + timedelta(hours=9), 7)
    assert kinds(world) == ["missing", "missing"]
    world.obey(world.commands())
    assert world.billed == world.used


def test_a_report_that_may_still_be_counted_is_waited_for() -> None:
    world = World()
    world.report(world.event(7), "uncertain", age=timedelta(minutes=4))
    assert problems(world) == ["Stripe may have counted it; run this again in 5 minutes"]


def test_use_that_waits_for_its_customer_is_not_counted_again_but_linked() -> None:
    world = World()
    world.event(3, report="pending")
    [finding] = world.compared().findings
    assert finding.kind == "waiting"
    assert finding.commands == (CustomerLinked(user_id="u-1", customer_id=CUSTOMER),)


def test_use_in_a_window_that_is_still_open_waits() -> None:
    world = World()
    world.report(world.event(3), "collected", within=uuid4())
    [finding] = world.compared().findings
    assert (finding.kind, finding.commands) == ("waiting", ())
    assert "window" in finding.problem


def test_nothing_older_than_35_days_is_reported() -> None:
    world = World(NOON + timedelta(days=34))
    world.event(3, hour=1)
    world.event(4, hour=13)
    findings = world.compared().findings
    assert [each.problem for each in findings] == ["Stripe takes nothing older than 35 days", ""]


def test_the_later_of_two_reports_of_an_event_is_cancelled() -> None:
    world = World()
    event = world.event(3, report="sent")
    double = world.report(event, revision=1, age=timedelta(hours=2))
    [finding] = world.compared().findings
    assert finding.kind == "double"
    assert finding.commands == (
        CancelReport(customer_id=CUSTOMER, report_id=double.report_id, reason="reconciled: double"),
    )


def test_of_two_reports_the_one_stays_that_cannot_be_cancelled() -> None:
    world = World()
    event = world.event(3, report="sent")
    world.report(event, revision=1, age=OLD)
    [command] = world.commands()
    assert isinstance(command, CancelReport)
    assert command.report_id == report_id_for(event.event_id, METER)


def test_a_report_of_no_event_is_cancelled_and_not_counted_again() -> None:
    world = World()
    world.report(UsedEvent(uuid4(), DAY + timedelta(hours=1), 3, ""))
    [finding] = world.compared().findings
    assert finding.kind == "double"
    [command] = finding.commands
    assert isinstance(command, CancelReport)


def test_what_was_told_after_the_events_were_read_is_not_taken_for_a_report_of_none() -> None:
    world = World()
    world.report(UsedEvent(uuid4(), DAY, 3, ""), age=timedelta(seconds=-1))
    assert "double" not in kinds(world)


def test_a_wrong_value_is_cancelled_and_counted_again() -> None:
    world = World()
    event = world.event(3)
    wrong = world.report(event, units=4)
    [finding] = world.compared().findings
    assert (finding.kind, finding.expected, finding.found) == ("wrong value", 3, 4)
    cancel, again = finding.commands
    assert isinstance(cancel, CancelReport)
    assert cancel.report_id == wrong.report_id
    assert isinstance(again, UsageCounted)
    assert (again.report_id, again.value) == (report_id_for(event.event_id, METER, 1), 3)


def test_a_report_of_what_is_not_billed_is_cancelled_alone() -> None:
    world = World()
    world.report(world.event(0), units=4)
    [finding] = world.compared().findings
    assert (finding.kind, finding.expected) == ("wrong value", 0)
    assert [each.kind for each in finding.commands] == ["cancel"]


@pytest.mark.parametrize("kind", ["double", "wrong value"])
def test_what_was_sent_24_hours_ago_cannot_be_taken_back(kind: str) -> None:
    world = World()
    event = world.event(3)
    if kind == "double":
        world.report(event, age=OLD)
        world.report(event, revision=1, age=OLD)
    else:
        world.report(event, units=4, age=OLD)
    [finding] = world.compared().findings
    assert (finding.kind, finding.commands) == (kind, ())
    assert "24 hours" in finding.problem


def test_a_window_with_a_wrong_sum_is_cancelled_and_each_event_counted_again() -> None:
    world = World()
    events = [world.event(2), world.event(5)]
    world.window(events, units=8)
    [finding] = world.compared().findings
    assert (finding.kind, finding.expected, finding.found) == ("wrong value", 7, 8)
    _, *again = finding.commands
    assert {(each.event_id, each.value) for each in again if isinstance(each, UsageCounted)} == {
        (each.event_id, each.units) for each in events
    }
    world.obey(finding.commands)
    assert (kinds(world), world.billed) == ([], 7)


def test_an_event_that_is_twice_in_one_window_costs_the_others_nothing() -> None:
    world = World()
    event, other = world.event(2), world.event(5)
    world.window([event, other], units=9)
    window = next(each for each in world.reports.values() if each.event_id is None)
    world.report(event, "collected", within=window.report_id, revision=1)
    assert kinds(world) == ["double"]
    world.obey(world.commands())
    assert (kinds(world), world.billed) == ([], 7)


@pytest.mark.parametrize("state", ["rejected", "uncertain"])
def test_the_events_of_a_window_that_stripe_has_not_counted_are_missing(
    state: ReportState,
) -> None:
    world = World()
    world.window([world.event(2), world.event(5)], state=state)
    assert kinds(world) == ["missing", "missing"]
    world.obey(world.commands())
    assert (kinds(world), world.billed) == ([], 7)


def test_what_stripe_lost_of_an_hour_is_made_up_for_once() -> None:
    world = World()
    lost = world.event(3, report="sent")
    world.event(4, report="sent")
    del world.counted[report_id_for(lost.event_id, METER)]
    [finding] = world.compared().findings
    assert (finding.kind, finding.expected, finding.found) == ("stripe differs", 7, 4)
    [command] = finding.commands
    assert isinstance(command, UsageCounted)
    assert (command.value, command.event_id) == (3, command.report_id)
    assert command.occurred_at == DAY + timedelta(hours=9)
    world.obey([command])
    assert (kinds(world), world.billed) == ([], 7)


def test_a_correction_that_was_lost_too_has_another_id_but_one_on_its_way_the_same() -> None:
    world = World()
    lost = world.event(3, report="sent")
    del world.counted[report_id_for(lost.event_id, METER)]
    [first] = world.commands()
    assert world.commands() == [first]
    world.obey([first])
    assert isinstance(first, UsageCounted)
    del world.counted[first.report_id]
    [second] = world.commands()
    assert isinstance(second, UsageCounted)
    assert second.report_id != first.report_id
    world.obey([second])
    assert (kinds(world), world.billed) == ([], 3)


def test_more_than_a_report_can_say_is_made_up_for_in_parts() -> None:
    world = World()
    for _ in range(3):
        world.report(world.event(MAX_VALUE - 1))
    world.counted.clear()
    values = [each.value for each in world.commands() if isinstance(each, UsageCounted)]
    assert values == [MAX_VALUE, MAX_VALUE, MAX_VALUE - 3]
    world.obey(world.commands())
    assert (kinds(world), world.billed) == ([], world.used)


def test_what_was_told_a_moment_ago_is_waited_for() -> None:
    world = World()
    report = world.report(world.event(3), age=timedelta(minutes=4))
    del world.counted[report.report_id]
    assert problems(world) == [
        "Stripe was told of this hour a moment ago; run this again in 5 minutes"
    ]


def test_what_stripe_has_beside_our_reports_is_said() -> None:
    world = World()
    world.event(3, report="sent")
    world.counted[uuid4()] = (DAY, 2)
    [finding] = world.compared().findings
    assert (finding.kind, finding.expected, finding.found) == ("stripe differs", 0, 2)
    assert finding.problem == "Weir has not reported this, and cannot take it back"


def test_a_correction_is_taken_back_when_stripe_had_it_after_all() -> None:
    world = World()
    late = world.report(world.event(3))
    counted = world.counted.pop(late.report_id)
    world.obey(world.commands())
    world.counted[late.report_id] = counted
    [command] = world.commands()
    assert isinstance(command, CancelReport)
    world.obey([command])
    assert (kinds(world), world.billed) == ([], 3)


def test_an_event_of_the_future_counts_at_stripe_in_the_hour_it_was_told() -> None:
    world = World(DAY + timedelta(hours=12))
    world.report(world.event(3, hour=20), age=timedelta(hours=2))
    assert world.hours() == {DAY + timedelta(hours=10): 3}
    assert kinds(world) == []


def test_names_that_are_no_account_are_left_out_of_commands() -> None:
    world = World()
    world.events.append(UsedEvent(uuid4(), DAY, 3, "u\x1b1"))
    [command] = world.commands()
    assert isinstance(command, UsageCounted)
    assert command.user_id is None


def _alone(state: ReportState) -> Callable[[World, int, int], object]:
    return lambda world, units, hour: world.report(world.event(units, hour=hour), state)


def _double(world: World, units: int, hour: int) -> None:
    event = world.event(units, hour=hour, report="sent")
    world.report(event, revision=1, age=timedelta(hours=1))


def _wrong(world: World, units: int, hour: int) -> None:
    world.report(world.event(units, hour=hour), units=units + 1)


def _wrong_and_double(world: World, units: int, hour: int) -> None:
    event = world.event(units, hour=hour)
    world.report(event, units=units + 2)
    world.report(event, units=units + 1, revision=1)


def _of_none(world: World, units: int, hour: int) -> None:
    world.report(UsedEvent(uuid4(), DAY + timedelta(hours=hour), units, ""))


def _lost(world: World, units: int, hour: int) -> None:
    report = world.report(world.event(units, hour=hour))
    del world.counted[report.report_id]


def _counted_without_answer(world: World, units: int, hour: int) -> None:
    report = world.report(world.event(units, hour=hour), "uncertain")
    world.counted[report.report_id] = (DAY + timedelta(hours=hour), units)


def _window(world: World, units: int, hour: int) -> None:
    # The hour differs, so that windows of one world have ids of their own.
    world.window([world.event(units), world.event(1)], start=len(world.reports))


def _window_and_alone(world: World, units: int, hour: int) -> None:
    event = world.event(units)
    world.window([event, world.event(2)], start=len(world.reports))
    world.report(event, revision=1)


def _wrong_window(world: World, units: int, hour: int) -> None:
    world.window([world.event(units), world.event(1)], units=1, start=len(world.reports))


def _twice_in_windows(world: World, units: int, hour: int) -> None:
    event = world.event(units)
    world.window([event, world.event(2)], start=len(world.reports))
    world.window([event, world.event(3)], start=len(world.reports), revision=1)


SCENARIOS: dict[str, Callable[[World, int, int], object]] = {
    "sent": _alone("sent"),
    "unreported": lambda world, units, hour: world.event(units, hour=hour),
    "not billed": lambda world, _, hour: world.event(0, hour=hour),
    "rejected": _alone("rejected"),
    "cancelled": _alone("cancelled"),
    "uncertain": _alone("uncertain"),
    "pending": _alone("pending"),
    "counted without answer": _counted_without_answer,
    "double": _double,
    "wrong": _wrong,
    "wrong and double": _wrong_and_double,
    "of none": _of_none,
    "lost": _lost,
    "window": _window,
    "window and alone": _window_and_alone,
    "wrong window": _wrong_window,
    "twice in windows": _twice_in_windows,
}


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(SCENARIOS)), st.integers(1, 4), st.integers(8, 10)),
        max_size=12,
    )
)
def test_fixes_end_in_the_total_of_the_events(steps: list[tuple[str, int, int]]) -> None:
    world = World()
    for name, units, hour in steps:
        SCENARIOS[name](world, units, hour)
    for _ in range(4):
        commands = world.commands()
        if not commands:
            break
        # What is on its way may be sent again.
        world.obey([*commands, *commands])
    assert world.compared().findings == []
    assert world.billed == world.used
