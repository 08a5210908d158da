"""Differences between events, reports and Stripe's hours: found, explained, and ended."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.billing.neighbours import HourDiffers, netted
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

# Stripe may have got it 3 hours before it answered.
OLD = timedelta(hours=21)


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


def test_a_wrong_value_is_cancelled_and_counted_again_when_it_is() -> None:
    world = World()
    event = world.event(3)
    wrong = world.report(event, units=4)
    [finding] = world.compared().findings
    assert (finding.kind, finding.expected, finding.found) == ("wrong value", 3, 4)
    [cancel] = finding.commands
    assert isinstance(cancel, CancelReport)
    assert cancel.report_id == wrong.report_id
    assert finding.second_run
    world.obey([cancel])
    [again] = world.commands()
    assert isinstance(again, UsageCounted)
    assert (again.report_id, again.value) == (report_id_for(event.event_id, METER, 1), 3)


@pytest.mark.parametrize("what", ["wrong value", "window", "double in a window"])
def test_nothing_is_counted_again_as_long_as_stripe_does_not_cancel(what: str) -> None:
    world = World()
    world.cancels = False
    event, other = world.event(3), world.event(5)
    if what == "wrong value":
        world.report(event, units=4)
        world.report(other)
    elif what == "window":
        world.window([event, other], units=9)
    else:
        world.report(event, revision=1, age=timedelta(hours=4))
        world.window([event, other])
    billed = world.billed
    for _ in range(3):
        commands = world.commands()
        assert [each.kind for each in commands] == ["cancel"]
        world.obey(commands)
    assert world.billed == billed
    world.cancels = True
    for _ in range(2):
        world.obey(world.commands())
    assert (kinds(world), world.billed) == ([], 8)


def test_a_report_of_what_is_not_billed_is_cancelled_alone() -> None:
    world = World()
    world.report(world.event(0), units=4)
    [finding] = world.compared().findings
    assert (finding.kind, finding.expected) == ("wrong value", 0)
    assert [each.kind for each in finding.commands] == ["cancel"]
    assert not finding.second_run


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
    world.obey(finding.commands)
    again = world.commands()
    assert {(each.event_id, each.value) for each in again if isinstance(each, UsageCounted)} == {
        (each.event_id, each.units) for each in events
    }
    world.obey(again)
    assert (kinds(world), world.billed) == ([], 7)


def test_an_event_that_is_twice_in_one_window_costs_the_others_nothing() -> None:
    world = World()
    event, other = world.event(2), world.event(5)
    world.window([event, other], units=9)
    window = next(each for each in world.reports.values() if each.event_id is None)
    world.report(event, "collected", within=window.report_id, revision=1)
    assert kinds(world) == ["double"]
    for _ in range(2):
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


def at_hour(hour: int) -> datetime:
    return DAY + timedelta(hours=hour)


@pytest.mark.parametrize("state", ["sent", "uncertain"])
def test_what_a_fast_clock_dated_into_the_next_hour_is_not_made_up_for(state: ReportState) -> None:
    world = World()
    report = world.report(world.event(5, hour=11), state)
    world.counted[report.report_id] = (at_hour(10), 5)
    assert (kinds(world), world.billed) == ([], 5)


def test_only_what_hours_near_each_other_lack_together_is_made_up_for() -> None:
    world = World()
    ahead = world.report(world.event(5, hour=11))
    world.counted[ahead.report_id] = (at_hour(10), 5)
    lost = world.report(world.event(3, hour=11))
    del world.counted[lost.report_id]
    [finding] = world.compared().findings
    assert (finding.expected, finding.found) == (3, 0)
    assert finding.says.endswith("beside what hours near it make up for")
    world.obey(finding.commands)
    assert (kinds(world), world.billed) == ([], 8)


def test_what_stripe_has_too_much_is_what_no_hour_near_it_lacks() -> None:
    world = World()
    ahead = world.report(world.event(5, hour=11))
    world.counted[ahead.report_id] = (at_hour(10), 5)
    world.counted[uuid4()] = (at_hour(10), 2)
    [finding] = world.compared().findings
    assert (finding.expected, finding.found, finding.commands) == (5, 7, ())


def test_a_correction_of_what_was_in_the_hour_before_is_taken_back() -> None:
    world = World()
    report = world.report(world.event(5, hour=11))
    del world.counted[report.report_id]
    world.obey(world.commands())
    world.counted[report.report_id] = (at_hour(10), 5)
    assert world.billed == 10
    world.obey(world.commands())
    assert (kinds(world), world.billed) == ([], 5)


def hour_differs(hour: int, told: int, has: int, *, settled: bool = True) -> HourDiffers:
    return HourDiffers(at_hour(hour), told, has, settled)


@pytest.mark.parametrize(
    ("hours", "short"),
    [
        ([(0, 0, 5), (24, 5, 0)], [0, 0]),
        ([(0, 0, 5), (25, 5, 0)], [-5, 5]),
        ([(0, 5, 0), (24, 0, 5)], [0, 0]),
        # The nearest would leave 5 that nothing is near.
        ([(0, 0, 5), (23, 5, 0), (24, 0, 5), (47, 5, 0)], [0, 0, 0, 0]),
        ([(1, 0, 2), (2, 7, 1), (3, 2, 5)], [0, 1, 0]),
        ([(1, 0, 4), (2, 3, 0), (3, 3, 0)], [0, 0, 2]),
    ],
)
def test_hours_make_up_for_one_another_up_to_24_hours_apart(
    hours: list[tuple[int, int, int]], short: list[int]
) -> None:
    left = netted(hour_differs(*each) for each in hours)
    assert [each.short for each in left] == short
    assert sum(each.moved for each in left) == 0


def test_what_is_settled_is_made_up_for_first() -> None:
    left = netted(
        [
            hour_differs(1, 0, 5),
            hour_differs(2, 5, 0, settled=False),
            hour_differs(3, 5, 0),
        ]
    )
    assert [each.short for each in left] == [0, 5, 0]


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
    world.counted[report.report_id] = (at_hour(hour), units)


def _ahead(state: ReportState) -> Callable[[World, int, int], object]:
    """Dated into an hour after the one in which it was sent."""

    def happens(world: World, units: int, hour: int) -> None:
        report = world.report(world.event(units, hour=hour), state)
        world.counted[report.report_id] = (at_hour(hour - 1), units)

    return happens


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
    "ahead": _ahead("sent"),
    "ahead without answer": _ahead("uncertain"),
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


@settings(max_examples=400)
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
    for _ in range(6):
        commands = world.commands()
        if not commands:
            break
        # What is on its way may be sent again.
        world.obey([*commands, *commands])
    assert world.compared().findings == []
    assert world.billed == world.used
