"""A lane's order of effects, at moments that no kill test can choose."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import orjson
import pytest
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from schemas.metrics.sink import DUPLICATES, INSERT_DURATION, INSERT_FAILURES, ROWS
from schemas.topics import PAGE_VIEWS
from streams.failures import Invalid, Retryable
from streams.lag import Standing
from streams.records import Headers, Record
from streams.sink.batches import Position, Span
from streams.sink.dead_letter_rate import DeadLetterRate
from streams.sink.known_ids import KnownIds
from streams.sink.lane import GaveUp, Lane, LaneParts
from streams.sink.measures import LaneMeasures
from streams.sink.ownership import NotOwner
from streams.sink.records import Source
from streams.sink.rows import CHUNK, DESTINATIONS
from streams.sink.settings import SinkSettings
from tests.scrapes import shown_here

SOURCE = Source(TopicPartition("page-views", 0), 7)


@dataclass(frozen=True)
class Message:
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


def page_view(offset: int) -> Message:
    event_id = f"0192d2ab-0000-7000-8000-{offset:012x}"
    event = {"event_id": event_id, "event_type": "page_view", "path": "/"}
    return Message(offset, 1_795_000_000_000, event_id.encode(), orjson.dumps(event))


@dataclass
class Effects:
    """A partition, a table and dead letters that write down what is done to them, in order."""

    records: list[Message]
    done: list[str] = field(default_factory=list)
    refusals: int = 0
    at: int = 0
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def fetch(self, *, most: int, wait: float) -> list[Record]:
        self.reading.set()
        await self.go_on.wait()
        # The real one gives way to others too.
        await asyncio.sleep(0)
        found: list[Record] = []
        found += [each for each in self.records if each.offset >= self.at][:most]
        self.at = found[-1].offset + 1 if found else self.at
        return found

    async def position(self) -> int:
        return self.at

    def go_back(self, offset: int) -> None:
        self.at = offset

    async def commit(self, offset: OffsetAndMetadata) -> None:
        self.done.append(f"commit {offset.offset} {offset.metadata}".strip())

    async def forget(self) -> None:
        self.done.append("forget")

    known_ids = "known_ids"

    async def insert(
        self, table: str, columns: Sequence[str], rows: bytes, token: str, shard: int
    ) -> None:
        if self.refusals:
            self.refusals -= 1
            raise Retryable("not now")
        self.done.append(f"insert {token} rows {len(orjson.loads(b'[' + rows + b']'))}")

    async def write(
        self, partition: TopicPartition, invalid: Sequence[tuple[Record, Invalid]]
    ) -> None:
        self.done.append(f"dead letters {len(invalid)}")

    async def rows(self, sql: str, parameters: dict[str, object]) -> Sequence[Sequence[object]]:
        return [[0]] if "count()" in sql else []

    async def row_binary(self, sql: str, parameters: dict[str, object]) -> AsyncIterator[bytes]:
        yield b""


def lane(
    effects: Effects,
    in_doubt: Span | None = None,
    *,
    new: bool = False,
    give_up_after: float = 60,
    rate: DeadLetterRate | None = None,
) -> Lane:
    parts = LaneParts(
        partition=effects,
        destination=DESTINATIONS[PAGE_VIEWS.name],
        known_ids=KnownIds(SOURCE, timedelta(days=7), effects),
        measures=LaneMeasures(SOURCE.partition, "events", None),
        store=effects,
        dead_letters=effects,
        making=asyncio.Lock(),
        rate=rate or DeadLetterRate(PAGE_VIEWS.name, 0),
        settings=SinkSettings(linger=0, give_up_after=give_up_after),
    )
    return Lane(Position(SOURCE, new=new, in_doubt=in_doubt), parts)


async def until(effects: Effects, last: str) -> None:
    async with asyncio.timeout(5):
        while last not in effects.done:  # noqa: ASYNC110 # the lane is what is waited for
            await asyncio.sleep(0)


async def test_all_else_goes_on_while_a_large_batch_is_made() -> None:
    effects = Effects([page_view(offset) for offset in range(5 * CHUNK)])
    effects.go_on.set()
    turns = 0
    running = asyncio.create_task(lane(effects)._make(effects.records))
    while not running.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 5
    assert len((await running).rows) == 5 * CHUNK


async def test_a_batch_is_noted_then_stored_then_done() -> None:
    effects = Effects([page_view(0), page_view(1), Message(2, 1_795_000_000_000, None, b"{")])
    effects.go_on.set()
    running = asyncio.create_task(lane(effects).run())
    await until(effects, "commit 3 incarnation=7")
    running.cancel()
    assert effects.done == [
        "commit 0 incarnation=7 batch-end=2",
        "dead letters 1",
        "insert page-views:0:7:0-2 rows 2",
        "commit 3 incarnation=7",
    ]


async def test_a_refused_insert_is_repeated_as_it_is() -> None:
    before = shown_here("sink")
    effects = Effects([page_view(0)], refusals=2)
    effects.go_on.set()
    running = asyncio.create_task(lane(effects).run())
    await until(effects, "commit 1 incarnation=7")
    running.cancel()
    assert effects.done == [
        "commit 0 incarnation=7 batch-end=0",
        "insert page-views:0:7:0-0 rows 1",
        "commit 1 incarnation=7",
    ]
    after = shown_here("sink")
    refused = {"table": "events", "kind": "retryable"}
    assert after.value(INSERT_FAILURES, **refused) == before.value(INSERT_FAILURES, **refused) + 2
    assert after.value(INSERT_DURATION, "_count") == before.value(INSERT_DURATION, "_count") + 1
    assert after.value(ROWS, table="events") == before.value(ROWS, table="events") + 1


async def test_it_stands_at_the_first_message_that_is_not_committed() -> None:
    effects = Effects([page_view(5), page_view(6)])
    standing = lane(effects)
    assert standing.measures.standing() is None
    running = asyncio.create_task(standing.run())
    await effects.reading.wait()
    effects.go_on.set()
    await until(effects, "commit 5 incarnation=7 batch-end=6")
    place = SOURCE.partition
    assert standing.measures.standing() == Standing(place, 5, page_view(5).timestamp)
    await until(effects, "commit 7 incarnation=7")
    running.cancel()
    assert standing.measures.standing() == Standing(place, 7, None)


async def test_a_batch_in_doubt_is_repeated_to_its_end_and_no_further() -> None:
    # Offsets 2 and 4 are missing, as transactions leave them; 5 belongs to the next batch.
    effects = Effects([page_view(offset) for offset in (0, 1, 3, 5)])
    effects.go_on.set()
    running = asyncio.create_task(lane(effects, Span(SOURCE, 0, 4)).run())
    await until(effects, "commit 6 incarnation=7")
    running.cancel()
    assert effects.done == [
        "commit 0 incarnation=7 batch-end=4",
        "insert page-views:0:7:0-4 rows 3",
        "commit 5 incarnation=7",
        "commit 5 incarnation=7 batch-end=5",
        "insert page-views:0:7:5-5 rows 1",
        "commit 6 incarnation=7",
    ]


async def test_a_lane_stopped_while_it_repeats_leaves_the_batch_in_doubt() -> None:
    effects = Effects([page_view(0), page_view(1)])
    stopping = lane(effects, Span(SOURCE, 0, 1))
    running = asyncio.create_task(stopping.run())
    await effects.reading.wait()
    await stopping.stop(within=1)
    effects.go_on.set()
    await asyncio.wait_for(running, 5)
    assert effects.done == []


async def test_copies_within_a_batch_are_stored_once() -> None:
    first = page_view(0)
    copy = Message(1, first.timestamp, first.key, first.value)
    before = shown_here("sink").value(DUPLICATES, topic="page-views")
    effects = Effects([first, copy])
    effects.go_on.set()
    running = asyncio.create_task(lane(effects).run())
    await until(effects, "commit 2 incarnation=7")
    running.cancel()
    assert "insert page-views:0:7:0-1 rows 1" in effects.done
    assert shown_here("sink").value(DUPLICATES, topic="page-views") == before + 1


async def test_a_new_partition_is_noted_before_anything_is_read() -> None:
    effects = Effects([page_view(5)], at=5)
    effects.go_on.set()
    running = asyncio.create_task(lane(effects, new=True).run())
    await until(effects, "commit 6 incarnation=7")
    running.cancel()
    assert effects.done[:2] == ["commit 5 incarnation=7", "commit 5 incarnation=7 batch-end=5"]


async def test_a_lane_that_gave_up_leaves_its_batch_in_doubt() -> None:
    effects = Effects([page_view(0)])
    effects.go_on.set()
    giving_up = lane(effects, give_up_after=1e-6)
    running = asyncio.create_task(giving_up.run())
    await until(effects, "commit 1 incarnation=7")
    effects.refusals = 1_000
    effects.records.append(page_view(1))
    with pytest.raises(GaveUp):
        await asyncio.wait_for(running, 10)
    await giving_up.stop(within=1)
    assert effects.done[-1] == "commit 1 incarnation=7 batch-end=1"


def garbage(offset: int) -> Message:
    return Message(offset, 1_795_000_000_000, None, b"{")


async def test_a_batch_with_too_many_dead_letters_leaves_no_trace_and_the_lane_stands_still() -> (
    None
):
    rate = DeadLetterRate(PAGE_VIEWS.name, 2)
    effects = Effects([page_view(0), garbage(1)])
    effects.go_on.set()
    standing = lane(effects, rate=rate)
    running = asyncio.create_task(standing.run())
    await until(effects, "commit 2 incarnation=7")
    before = list(effects.done)
    effects.records += [page_view(2), garbage(3), garbage(4)]
    async with asyncio.timeout(5):
        while rate.stopped is None:  # noqa: ASYNC110 # the lane is what is waited for
            await asyncio.sleep(0)
    effects.records.append(page_view(5))
    for _ in range(100):
        await asyncio.sleep(0)
    assert effects.done == before
    await standing.stop(within=1)
    await asyncio.wait_for(running, 5)
    assert effects.done == [*before, "commit 2 incarnation=7"]


async def test_the_batch_before_is_committed_when_a_lane_stops() -> None:
    rate = DeadLetterRate(PAGE_VIEWS.name, 1)
    effects = Effects([garbage(0)])
    running = asyncio.create_task(lane(effects, rate=rate).run())
    await effects.reading.wait()
    effects.records += [garbage(1)]
    # A fetch gives all that is there: the second batch comes when the first is stored.
    effects.records, later = effects.records[:1], effects.records[1:]
    effects.go_on.set()
    await until(effects, "dead letters 1")
    effects.records += later
    await until(effects, "commit 1 incarnation=7")
    running.cancel()
    assert effects.done == [
        "commit 0 incarnation=7 batch-end=0",
        "dead letters 1",
        "commit 1 incarnation=7",
    ]


async def test_lanes_of_a_topic_stop_together_whatever_they_hold() -> None:
    rate = DeadLetterRate(PAGE_VIEWS.name, 1)
    rate.admits(SOURCE, [(garbage(offset), Invalid("not_json", "no")) for offset in range(2)])
    effects = Effects([page_view(0)])
    effects.go_on.set()
    running = asyncio.create_task(lane(effects, rate=rate).run())
    for _ in range(100):
        await asyncio.sleep(0)
    running.cancel()
    assert effects.done == []


async def test_a_batch_in_doubt_is_repeated_whatever_the_rate_and_counts_for_what_follows() -> None:
    rate = DeadLetterRate(PAGE_VIEWS.name, 2)
    effects = Effects([garbage(0), garbage(1), page_view(2), garbage(3)])
    effects.go_on.set()
    running = asyncio.create_task(lane(effects, Span(SOURCE, 0, 2), rate=rate).run())
    await until(effects, "commit 3 incarnation=7")
    async with asyncio.timeout(5):
        while rate.stopped is None:  # noqa: ASYNC110 # the lane is what is waited for
            await asyncio.sleep(0)
    running.cancel()
    assert effects.done == [
        "commit 0 incarnation=7 batch-end=2",
        "dead letters 2",
        "insert page-views:0:7:0-2 rows 1",
        "commit 3 incarnation=7",
    ]
    assert rate.stopped.letters == 3


class LostOnce(Effects):
    """Its partition goes to another owner at the first note, and comes back."""

    lost = False

    async def commit(self, offset: OffsetAndMetadata) -> None:
        if not self.lost:
            self.lost = True
            raise NotOwner("a rebalance")
        await super().commit(offset)


async def test_a_batch_that_was_lost_at_its_note_and_gathered_again_counts_once() -> None:
    rate = DeadLetterRate(PAGE_VIEWS.name, 2)
    effects = LostOnce([garbage(0), garbage(1)])
    effects.go_on.set()
    with pytest.raises(NotOwner):
        await asyncio.wait_for(lane(effects, rate=rate).run(), 5)
    effects.go_back(0)
    running = asyncio.create_task(lane(effects, rate=rate).run())
    await until(effects, "commit 2 incarnation=7")
    running.cancel()
    assert effects.done == [
        "commit 0 incarnation=7 batch-end=1",
        "dead letters 2",
        "commit 2 incarnation=7",
    ]
    assert rate.stopped is None
