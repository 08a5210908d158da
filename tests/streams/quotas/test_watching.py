"""Old commands are forgotten by the log's time, leases run out, and a standstill is noticed."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest

from streams.group.lease import Lease, LeaseOver
from streams.group.stalls import REBALANCES, STANDS_STILL, Stalled, Stalls
from streams.group.sweep import MARGIN, SCANNED, Sweep
from streams.group.table_lane import Flight
from streams.group.turns import Turns
from streams.quotas.stored import account_key, kept_until, remembered_key
from tests.streams.quotas.values import account_at, remembered_at

USER = account_key("somebody")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Log:
    """The end of each partition, and where commands lie."""

    def __init__(self, ends: dict[int, int], commands: Sequence[int] = ()) -> None:
        self._ends = ends
        self._commands = commands

    async def ends(self, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        return {each: self._ends[each] for each in partitions}

    async def is_empty(self, topic: str, partition: int, begin: int, end: int) -> bool:
        return not any(begin <= each < end for each in self._commands)


def test_a_lease_is_over_a_session_after_the_last_answered_heartbeat_was_sent() -> None:
    clock = Clock()
    lease = Lease(6, clock)
    sent_at = lease.now()
    clock.now += 5
    lease.renew(sent_at)
    lease.must_hold()
    clock.now += 1.5
    with pytest.raises(LeaseOver, match=r"no heartbeat for 6\.5 s"):
        lease.must_hold()


class Table:
    """A lane and a store over plain entries."""

    def __init__(self, entries: dict[bytes, bytes]) -> None:
        self.entries = dict(sorted(entries.items()))
        self.partition = 0
        self.in_flight = 0
        self.acknowledged: Any = None
        self.changing: set[bytes] = set()
        self.submitted: list[Flight] = []

    def scan(self, partition: int, after: bytes, most: int) -> list[tuple[bytes, bytes]]:
        return [each for each in self.entries.items() if each[0] > after][:most]

    def is_changing(self, key: bytes) -> bool:
        return key in self.changing

    def submit(self, flight: Flight) -> None:
        self.submitted.append(flight)
        for key, _ in flight.puts:
            del self.entries[key]


def sweeping(table: Table) -> Sweep:
    return Sweep(cast("Any", table), cast("Any", table), kept_until, lambda: table.acknowledged)


def arrived(offset: int, timestamp: int) -> SimpleNamespace:
    return SimpleNamespace(offset=offset, timestamp=timestamp)


def test_a_command_is_forgotten_once_one_that_arrived_after_its_end_is_committed() -> None:
    key, later = (remembered_key(USER, uuid4()) for _ in range(2))
    table = Table({USER: account_at(1), key: remembered_at(1, 1000), later: remembered_at(1, 9000)})
    sweep = sweeping(table)
    assert sweep.step(committed=50) == 0

    table.acknowledged = arrived(60, 1000 + MARGIN)
    assert sweep.step(committed=60) == 0
    # A replay would begin before it, and must find what it found.
    assert sweep.step(committed=60) == 0
    assert sweep.step(committed=61) == 1
    assert table.entries.keys() == {USER, later}


def test_a_table_is_swept_in_steps_and_again_from_its_beginning() -> None:
    keys = [remembered_key(account_key(f"user-{each:04}"), uuid4()) for each in range(3 * SCANNED)]
    table = Table(dict.fromkeys(keys, remembered_at(1, 1000)))
    sweep = sweeping(table)
    table.acknowledged = arrived(1, 1000 + MARGIN)
    sweep.step(committed=1)
    assert [sweep.step(committed=2) for _ in range(4)] == [SCANNED, SCANNED, 0, SCANNED]


def test_what_is_changing_or_would_crowd_the_lane_is_left_for_later() -> None:
    key = remembered_key(USER, uuid4())
    table = Table({key: remembered_at(1, 1000)})
    sweep = sweeping(table)
    table.acknowledged = arrived(1, 1000 + MARGIN)
    sweep.step(committed=1)
    table.changing = {key}
    assert sweep.step(committed=2) == 0
    table.changing, table.in_flight = set(), 60
    assert sweep.step(committed=2) == 0
    table.in_flight = 0
    assert sweep.step(committed=2) == 1


async def test_commands_that_lie_there_and_are_not_read_are_a_standstill() -> None:
    clock = Clock()
    stalls = Stalls(cast("Any", Log({0: 5, 1: 9}, commands=[0, 1, 2, 3, 4])), "commands", clock)
    await stalls.check([0, 1], {0: 5, 1: 9})
    clock.now += STANDS_STILL + 1
    await stalls.check([0, 1], {0: 5, 1: 9})
    await stalls.check([0], {0: 4})
    clock.now += STANDS_STILL - 1
    await stalls.check([0], {0: 4})
    clock.now += 2
    with pytest.raises(Stalled, match="partition 0 from offset 4 on"):
        await stalls.check([0], {0: 4})


async def test_marks_of_transactions_are_nothing_to_be_read() -> None:
    clock = Clock()
    stalls = Stalls(cast("Any", Log({0: 5}, commands=[0, 1, 2])), "commands", clock)
    await stalls.check([0], {0: 3})
    clock.now += STANDS_STILL + 1
    await stalls.check([0], {0: 3})


def test_giving_out_partitions_may_take_its_time_and_no_more() -> None:
    clock = Clock()
    stalls = Stalls(cast("Any", Log({})), "commands", clock)
    stalls.rebalances(True)
    clock.now += REBALANCES - 1
    stalls.rebalances(True)
    stalls.rebalances(False)
    stalls.rebalances(True)
    clock.now += REBALANCES + 1
    with pytest.raises(Stalled):
        stalls.rebalances(True)


class Faust:
    def __init__(self, *commands: int, begins: dict[int, int]) -> None:
        self.went_back: list[tuple[int, int]] = []
        log = cast("Any", Log({}, commands))
        self.turns = Turns(log, "commands", begins, self.go_back)

    async def go_back(self, partition: int, offset: int) -> None:
        self.went_back.append((partition, offset))

    async def hands_over(self, *offsets: int) -> list[int]:
        """Those that are decided."""
        decided = []
        for offset in offsets:
            if await self.turns.has_come(0, offset):
                self.turns.take(0, offset)
                decided.append(offset)
        return decided


async def test_commands_are_decided_in_their_order_and_again_when_they_come_again() -> None:
    faust = Faust(5, 6, 7, begins={0: 5})
    assert await faust.hands_over(5, 6, 5, 6, 7) == [5, 6, 5, 6, 7]
    assert faust.went_back == []


async def test_what_was_left_out_is_gone_back_for_once_and_nothing_behind_it_is_decided() -> None:
    faust = Faust(5, 6, 7, 8, begins={0: 5})
    assert await faust.hands_over(5, 7, 8) == [5]
    assert faust.went_back == [(0, 6)]
    assert await faust.hands_over(6, 7, 8) == [6, 7, 8]
    assert faust.turns.read == {0: 9}


async def test_offsets_without_a_command_are_passed() -> None:
    faust = Faust(5, 8, begins={0: 5})
    assert await faust.hands_over(5, 8) == [5, 8]
    assert faust.went_back == []


async def test_nothing_is_decided_before_it_is_known_where_reading_begins() -> None:
    begins: dict[int, int] = {}
    faust = Faust(5, 6, begins=begins)
    assert await faust.hands_over(5, 6) == []
    begins[0] = 5
    assert await faust.hands_over(5, 6) == [5, 6]
    faust.turns.forget(0)
    assert await faust.hands_over(7) == []
