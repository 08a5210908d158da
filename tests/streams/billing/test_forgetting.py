"""A customer is forgotten beside millions of reports without anybody noticing."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from faust.types import TP

from schemas.billing import ForgetUse
from schemas.servers import KafkaSettings
from streams.billing.forgetting import forget_customer
from streams.billing.ledger import Ledger
from streams.billing.reports import Report, Window, closed_key, report_key, stored
from streams.group.app import GroupApp, Membership
from streams.group.lease import Lease
from streams.group.places import Place
from streams.group.table import KeyedStore, KeyedTable, Range
from streams.group.table_folder import tables_of
from streams.group.table_lane import Erasure, TableLane
from streams.writer import Entry, Written

TOPIC = UUID(int=7).bytes
MANY = 100_000


class Changelog:
    """A writer to a changelog without Kafka."""

    def __init__(self) -> None:
        self.next = 0

    async def write_alone(self, _: str, __: int, entries: list[Entry]) -> list[Written]:
        first, self.next = self.next, self.next + len(entries)
        return [Written(first, len(entries))]


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    membership = Membership(
        KafkaSettings(bootstrap_servers="127.0.0.1:1"),
        "group",
        "one",
        tables_of(tmp_path),
        session_timeout=6,
        revoke_timeout=12,
    )
    app = GroupApp(membership, Lease(6), ["commands"])
    failures: list[BaseException] = []
    table = KeyedTable(
        app,
        "reports",
        changelog="changes",
        partitions=1,
        topic_id=TOPIC,
        on_ready=lambda *_: None,
        failed=failures.append,
    )
    app.finalize()
    app._create_directories()
    lane = TableLane(
        0,
        next_offset=0,
        changelog="changes",
        store=table.store,
        writer=cast("Any", Changelog()),
        lease=Lease(60),
        failed=failures.append,
    )
    yield Ledger(lane, table.store)
    lane.close()
    await table.store.stop()
    assert failures == []


def a_report(customer_id: str, user_id: str | None = "ann") -> Report:
    return Report(
        report_id=uuid4(),
        event_id=uuid4(),
        meter="conversions",
        value=1,
        occurred_at=1,
        customer_id=customer_id,
        state="sent",
        at=1,
        user_id=user_id,
    )


async def test_what_names_somebody_else_stays_with_a_customer_that_was_taken_for_the_users(
    ledger: Ledger,
) -> None:
    made = Place(TOPIC, 1)
    anns, nobodys, bobs = (a_report("cus_own", user) for user in ("ann", None, "bob"))
    ended = Window(
        customer_id="cus_own",
        meter="conversions",
        start=0,
        seconds=60,
        revision=1,
        value=0,
        latest=1,
        user_id="bob",
    )
    at = closed_key(ended.customer_id, ended.meter, ended.start)
    puts = [(report_key(each.report_id), stored(made, each)) for each in (anns, nobodys, bobs)]
    ledger.store.write(0, [*puts, (at, stored(made, ended))], 0)
    command = ForgetUse(user_id="ann", customer_id="cus_own", whole=True)
    await forget_customer(ledger, command, "cus_own", Place(TOPIC, 2))
    assert ledger.report(anns.report_id) == anns.forgotten()
    assert ledger.report(nobodys.report_id) == nobodys.forgotten()
    assert ledger.report(bobs.report_id) == bobs
    assert ledger.lane.get(at) == stored(made, ended)


async def test_a_heartbeat_goes_on_while_a_customers_reports_are_looked_for(
    ledger: Ledger,
) -> None:
    made = Place(TOPIC, 1)
    own = [a_report("cus_own") for _ in range(3)]
    reports = [*own, *(a_report("cus_other") for _ in range(MANY))]
    puts = [(report_key(each.report_id), stored(made, each)) for each in reports]
    ledger.store.write(0, puts, 0)
    command = ForgetUse(user_id="ann", customer_id="cus_own", whole=True)
    forgetting = asyncio.create_task(forget_customer(ledger, command, "cus_own", Place(TOPIC, 2)))
    turns, began = 0, monotonic()
    while not forgetting.done():
        turns += 1
        await asyncio.sleep(0)
    await forgetting
    # A turn for some hundred reports: by count, since other work may hold the machine up.
    assert turns > MANY // 1_000, monotonic() - began
    assert {ledger.report(each.report_id) for each in own} == {each.forgotten() for each in own}
    other = ledger.report(reports[-1].report_id)
    assert other == reports[-1]


async def test_only_what_was_erased_is_compacted_and_nobody_waits_for_it(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    compacted: list[Range] = []
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def compact(_: KeyedStore, partition: int, ranges: list[Range]) -> None:
        assert partition == 0
        compacted.extend(ranges)
        loop.call_soon_threadsafe(begun.set)

    monkeypatch.setattr(KeyedStore, "compact", compact)
    place = Place(TOPIC, 5)
    erases = Erasure(place, (b"a", b"b"))
    await ledger.lane.put([], erases=erases)
    await forget_customer(ledger, ForgetUse(user_id="ann", customer_id="cus_a"), "cus_a", place)
    await ledger.lane.put([(b"a", place.head())])
    await ledger.lane.put([(b"a", None)], erases=Erasure(place, (b"a", b"c")))
    async with asyncio.timeout(10):
        await begun.wait()
    assert compacted == [(b"a", b"c")]


async def test_a_compaction_that_takes_long_holds_no_change_up(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = Event()
    ranges_seen: list[list[Range]] = []

    def compact(_: KeyedStore, __: int, ranges: list[Range]) -> None:
        ranges_seen.append(ranges)
        goes_on.wait(10)

    monkeypatch.setattr(KeyedStore, "compact", compact)
    place = Place(TOPIC, 5)
    try:
        async with asyncio.timeout(10):
            for number in range(200):
                key = b"k%03d" % number
                await ledger.lane.put([(key, None)], erases=Erasure(place, (key, key)))
    finally:
        goes_on.set()
    # What waited meanwhile is bounded.
    assert len(ranges_seen[0]) == 1
    assert len(ledger.lane._erased) <= 64
    assert ledger.store.persisted_offset(TP("changes", 0)) == 199
