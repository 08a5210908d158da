"""What was stored since a position: nothing twice, nothing lost, whatever the order of arrival."""

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import orjson
import pytest
import pytest_asyncio
from clickhouse_connect import get_client
from clickhouse_connect.driver.client import Client
from hypothesis import given
from hypothesis import strategies as st

from api.analytics.newest import MOST_TOLD, Batch, LiveEvent, StoredEvents, Wanted
from api.analytics.positions import LOOK_BACK_MS, MAX_PARTITIONS, Message, Position, parse_position
from api.clickhouse import ClickHouseReader, Row
from deploy.migrate import apply_migrations
from schemas.servers import ClickHouseSettings
from tests.services import Services

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
LOOK_BACK = LOOK_BACK_MS / 1000
A_WHILE = timedelta(hours=1)
TOPICS = {"page-views", "conversions"}


@dataclass
class Table:
    """A database of its own, and its events by name."""

    client: Client
    stored: StoredEvents
    clickhouse: "Asked"
    names: dict[UUID, str] = field(default_factory=dict)

    def store(
        self,
        *names: str,
        partition: int = 0,
        offset: int = 0,
        seconds: float = 0,
        event_type: str = "page_view",
        bot: bool = False,
        incarnation: int = 1,
        apart: float = 0.001,
    ) -> None:
        """Stores events of one partition, the first with this offset, so many seconds apart."""
        rows = []
        for number, name in enumerate(names):
            identity = uuid4()
            self.names[identity] = name
            received = NOW + timedelta(seconds=seconds + number * apart)
            rows.append(
                [
                    *(identity, event_type, f"/{name}", received, received, "{}", bot),
                    *("page-views", partition, incarnation, offset + number),
                ]
            )
        self.client.insert(
            "events",
            rows,
            column_names=[
                *("event_id", "event_type", "path", "occurred_at", "received_at", "metadata"),
                *("bot", "topic", "partition", "incarnation", "offset"),
            ],
        )

    def told(self, events: Sequence[LiveEvent]) -> list[str]:
        return [self.names[UUID(document(each)["event_id"])] for each in events]


def lines(event: LiveEvent) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in event.frame.decode().splitlines() if line)


def document(event: LiveEvent) -> dict[str, str]:
    parsed: dict[str, str] = orjson.loads(lines(event)["data"])
    return parsed


def position_of(event: LiveEvent) -> Position:
    position = parse_position(lines(event)["id"], TOPICS)
    assert position is not None
    return position


class Asked(ClickHouseReader):
    """Notes what is asked, and how many rows are read for it."""

    def __init__(self, settings: ClickHouseSettings, client: Client) -> None:
        super().__init__(settings, timeout=30)
        self._client_here = client
        self.asked: list[tuple[str, Mapping[str, object]]] = []
        self.rows: list[int] = []

    async def ask(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        self.asked.append((sql, parameters or {}))
        answer = await asyncio.to_thread(
            self._client_here.query, sql, parameters=dict(parameters or {})
        )
        self.rows.append(int(answer.summary["read_rows"]))
        return list(answer.result_rows)


@pytest_asyncio.fixture(loop_scope="session")
async def table(services: Services) -> AsyncIterator[Table]:
    name = f"test_{uuid4().hex[:12]}"
    settings = ClickHouseSettings(url=f"{services.clickhouse_url}/{name}")
    apply_migrations(settings, lambda _: None)
    with get_client(**settings.clickhouse_arguments(), database=name) as client:
        clickhouse = Asked(settings, client)
        yield Table(client, StoredEvents(clickhouse, lambda: NOW + A_WHILE, TOPICS), clickhouse)
        client.command(f"DROP DATABASE {name}")


@pytest.mark.services
async def test_each_event_is_told_once_by_arrival(table: Table) -> None:
    table.store("before")
    start = await table.stored.end()
    assert (await table.stored.since(start)).events == ()
    table.store("third", partition=1, seconds=2)
    table.store("first", "second", offset=1, seconds=1)
    batch = await table.stored.since(start)
    assert table.told(batch.events) == ["first", "second", "third"]
    assert batch.counts == {("page_view", False): 3}
    assert (await table.stored.since(batch.end)).events == ()


@pytest.mark.services
async def test_of_an_empty_table_nothing_is_told_and_then_the_first(table: Table) -> None:
    start = await table.stored.end()
    assert await table.stored.newest(start, 20, Wanted()) == []
    table.store("first")
    assert table.told((await table.stored.since(start)).events) == ["first"]


@pytest.mark.services
async def test_what_arrived_earlier_and_is_stored_later_is_told(table: Table) -> None:
    """Its partition's sink was slower; it may be as late as the look-back is long."""
    table.store("old", partition=1)
    table.store("newest", seconds=LOOK_BACK)
    start = await table.stored.end()
    table.store("late", partition=1, offset=1, seconds=0.5)
    table.store("later", partition=2, seconds=1)
    batch = await table.stored.since(start)
    assert table.told(batch.events) == ["late", "later"]
    table.store("last", partition=3, seconds=0.1)
    assert table.told((await table.stored.since(batch.end)).events) == ["last"]


@pytest.mark.services
async def test_what_is_later_than_the_look_back_is_not_told(table: Table) -> None:
    table.store("newest", seconds=LOOK_BACK)
    start = await table.stored.end()
    table.store("too late", partition=1, seconds=-1)
    assert (await table.stored.since(start)).events == ()


@pytest.mark.services
async def test_an_event_with_a_time_in_the_future_hides_no_other(table: Table) -> None:
    """The broker's clock was ahead for a moment, or is set back."""
    ahead = 2 * A_WHILE.total_seconds()
    table.store("from the future", partition=1, offset=7, seconds=ahead)
    start = await table.stored.end()
    table.store("now", seconds=A_WHILE.total_seconds())
    table.store("of the same partition", partition=1, offset=8, seconds=A_WHILE.total_seconds())
    batch = await table.stored.since(start)
    assert sorted(table.told(batch.events)) == ["now", "of the same partition"]
    table.store("from the future too", partition=2, seconds=ahead)
    batch = await table.stored.since(batch.end)
    assert table.told(batch.events) == ["from the future too"]
    table.store("after it", offset=1, seconds=A_WHILE.total_seconds())
    batch = await table.stored.since(batch.end)
    assert table.told(batch.events) == ["after it"]
    resumed = await table.stored.since(position_of(batch.events[-1]))
    assert resumed.events == ()


def test_a_position_remembers_what_was_told_of_the_future() -> None:
    """Or it would be told again, once nothing else of its partition is in the window."""
    hour_ms = 3_600_000
    start = Position(0, {}).advanced([(KEY, Message(1, 5, hour_ms))], 1_000)
    back = start.advanced([(KEY, Message(1, 6, 1_000))], 1_000)
    later = back.advanced([(("conversions", 0), Message(1, 1, 2 * LOOK_BACK_MS))], 2 * LOOK_BACK_MS)
    assert later.newest_ms == 2 * LOOK_BACK_MS
    assert later.last[KEY] == Message(1, 6, hour_ms)


@pytest.mark.services
async def test_of_a_large_part_what_arrived_lately_is_read_alone(table: Table) -> None:
    await one_large_part(table)
    position = await table.stored.end()
    rows = []
    for number in range(3):
        # The condition is another one each time: an answer that ClickHouse remembers is no use.
        table.store("new", partition=1, offset=number, seconds=number)
        del table.clickhouse.rows[:]
        batch = await table.stored.since(position)
        assert table.told(batch.events) == ["new"]
        position = batch.end
        rows.append(sum(table.clickhouse.rows))
    assert max(rows) < 0.2 * LARGE, rows
    del table.clickhouse.rows[:]
    await table.stored.end()
    assert sum(table.clickhouse.rows) < 0.1 * LARGE
    del table.clickhouse.rows[:]
    assert await table.stored.newest(position, 20, Wanted("not.there")) == []
    assert sum(table.clickhouse.rows) < 0.5 * LARGE


@pytest.mark.services
async def test_rows_outside_the_window_are_left_out_before_anything_else_is_asked_of_them(
    table: Table,
) -> None:
    """Left to itself ClickHouse may compare each row of a part with the positions first."""
    table.store("before")
    position = await table.stored.end()
    table.store("new", offset=1)
    del table.clickhouse.asked[:]
    await table.stored.since(position)
    asked = table.clickhouse.asked[:]
    assert len(asked) == 2
    for sql, parameters in asked:
        plan = await table.clickhouse.ask(f"EXPLAIN actions = 1 {sql}", parameters)
        [first] = [str(line) for [line] in plan if "Prewhere filter column" in str(line)]
        assert "received_at >=" in first
        assert "arrayExists" not in first


LARGE = 1_000_000


async def one_large_part(table: Table) -> None:
    """A part of a million events in twenty days, up to now; in this table alone."""
    views = (
        "SELECT name FROM system.tables "
        "WHERE database = currentDatabase() AND engine = 'MaterializedView'"
    )
    for [name] in table.client.query(views).result_rows:
        table.client.command("DROP VIEW {name:Identifier}", {"name": name})
    await asyncio.to_thread(
        table.client.command,
        """
        INSERT INTO events (
            event_id, event_type, path, occurred_at, received_at, metadata,
            topic, partition, incarnation, offset
        )
        WITH
            fromUnixTimestamp64Milli({now:Int64}) AS now,
            now - toIntervalMillisecond(({large:UInt32} - number) * 1728) AS received
        SELECT
            generateUUIDv4(), 'page_view', '/', received - toIntervalMillisecond(rand() % 5000),
            received, '{}', 'page-views', 0, 1, number
        FROM numbers({large:UInt32})
        """,
        {"now": int(NOW.timestamp() * 1000), "large": LARGE},
    )
    await asyncio.to_thread(table.client.command, "OPTIMIZE TABLE events FINAL")


@pytest.mark.services
async def test_a_topic_that_is_made_anew_begins_anew(table: Table) -> None:
    table.store("old", "older", offset=70)
    start = await table.stored.end()
    table.store("new", incarnation=2, seconds=1)
    batch = await table.stored.since(start)
    assert table.told(batch.events) == ["new"]
    assert (await table.stored.since(batch.end)).events == ()


@pytest.mark.services
async def test_of_too_many_the_newest_are_told_and_the_others_counted(table: Table) -> None:
    start = await table.stored.end()
    names = [f"{number}" for number in range(1_100)]
    table.store(*names)
    table.store("rare", partition=1, seconds=-1, event_type="conversion")
    table.store("bot", partition=2, seconds=-1, bot=True)
    batch = await table.stored.since(start)
    assert to(table, batch, Wanted()) == (902, names[-MOST_TOLD:])
    # Those of another type do not hide it.
    assert to(table, batch, Wanted("conversion")) == (0, ["rare"])
    assert to(table, batch, Wanted(bots="only")) == (0, ["bot"])
    assert to(table, batch, Wanted("page_view", "exclude")) == (900, names[-MOST_TOLD:])
    assert to(table, batch, Wanted("signup")) == (0, [])


def to(table: Table, batch: Batch, wanted: Wanted) -> tuple[int, list[str]]:
    skipped, events = batch.told_to(wanted)
    return skipped, table.told(events)


@pytest.mark.services
async def test_what_was_skipped_is_not_told_behind_an_id(table: Table) -> None:
    start = await table.stored.end()
    names = [f"{number}" for number in range(MOST_TOLD)]
    table.store("skipped", "skipped too")
    table.store("skipped of another partition", partition=1)
    table.store(*names, offset=2, seconds=1)
    batch = await table.stored.since(start)
    assert to(table, batch, Wanted()) == (3, names)
    behind = await table.stored.since(position_of(batch.events[0]), batch.end)
    assert to(table, behind, Wanted()) == (0, names[1:])


@pytest.mark.services
async def test_of_a_long_backlog_the_newest_are_told_and_all_counted(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.analytics.newest._MANY", 100)
    start = await table.stored.end()
    names = [f"{number}" for number in range(MOST_TOLD)]
    table.store(*(f"old {number}" for number in range(100)), seconds=-400)
    table.store(*names, offset=100)
    table.store("rare", partition=1, seconds=-300, event_type="conversion")
    batch = await table.stored.since(start)
    assert to(table, batch, Wanted("page_view")) == (100, names)
    # Not looked for: all columns of the backlog would be read.
    assert to(table, batch, Wanted("conversion")) == (1, [])


@pytest.mark.services
async def test_behind_the_id_of_any_event_come_the_others(table: Table) -> None:
    """Also of those that were late, of several partitions, and when more came meanwhile."""
    table.store("before", partition=1)
    start = await table.stored.end()
    table.store("a", "c", offset=3, seconds=1)
    table.store("b", partition=1, offset=1, seconds=1.0005)
    table.store("d", partition=2, offset=0, seconds=3)
    first = await table.stored.since(start)
    table.store("late", partition=3, offset=9, seconds=0.1)
    table.store("e", partition=2, offset=1, seconds=4)
    second = await table.stored.since(first.end)
    told = [*first.events, *second.events]
    names = table.told(told)
    assert sorted(names) == ["a", "b", "c", "d", "e", "late"]
    for number, event in enumerate(told):
        behind = await table.stored.since(position_of(event), second.end)
        skipped, events = behind.told_to(Wanted())
        assert skipped == 0
        assert sorted(table.told(events)) == sorted(names[number + 1 :])
        # What is stored after that is told by the poller.
        table.store(f"after {number}", partition=4, offset=number, seconds=5)


@pytest.mark.services
async def test_behind_an_id_nothing_is_lost_of_a_partition_that_is_quiet_since(
    table: Table,
) -> None:
    table.store("before")
    start = await table.stored.end()
    table.store("quiet", partition=1, seconds=1)
    table.store("now", partition=2, seconds=3 * LOOK_BACK)
    end = (await table.stored.since(start)).end
    assert list(end.last) == [("page-views", 2)]
    assert table.told((await table.stored.since(start, end)).events) == ["quiet", "now"]


@pytest.mark.services
async def test_the_newest_come_oldest_first_up_to_the_position(table: Table) -> None:
    table.store("too long ago", seconds=-86_500)
    table.store("a day ago", offset=1, seconds=-86_000)
    table.store("bot", partition=1, bot=True)
    table.store("here", partition=2, seconds=1, event_type="conversion")
    end = await table.stored.end()
    table.store("not yet told", partition=2, offset=1, seconds=2)

    async def newest(limit: int, wanted: Wanted) -> list[str]:
        return table.told(await table.stored.newest(end, limit, wanted))

    assert await newest(20, Wanted()) == ["a day ago", "bot", "here"]
    assert await newest(2, Wanted()) == ["bot", "here"]
    assert await newest(0, Wanted()) == []
    assert await newest(20, Wanted(bots="exclude")) == ["a day ago", "here"]
    assert await newest(20, Wanted(bots="only")) == ["bot"]
    assert await newest(20, Wanted("conversion")) == ["here"]
    *others, last = await table.stored.newest(end, 20, Wanted())
    assert ["id" in lines(each) for each in others] == [False, False]
    assert table.told((await table.stored.since(position_of(last))).events) == ["not yet told"]


@pytest.mark.services
async def test_the_count_is_another_one_when_something_was_stored(table: Table) -> None:
    assert await table.stored.count() == 0
    table.store("one", "two")
    assert await table.stored.count() == 2


KEY = ("page-views", 0)
MESSAGES = st.builds(
    Message, st.integers(0, 2**32 - 1), st.integers(0, 2**63 - 1), st.integers(0, 2**41)
)
PARTITIONS = st.dictionaries(
    st.tuples(st.sampled_from(["page-views", "conversions"]), st.integers(0, 2**16 - 1)),
    MESSAGES,
    max_size=8,
)


@given(PARTITIONS)
def test_a_position_survives_its_text(messages: dict[tuple[str, int], Message]) -> None:
    position = Position(0, {}).advanced(messages.items(), 2**41)
    parsed = parse_position(position.text(), TOPICS)
    assert parsed is not None
    assert parsed.newest_ms == position.newest_ms
    assert parsed.parameters("end") == position.parameters("end")
    assert parsed.covers(position)
    assert position.covers(parsed)


@given(st.text(max_size=60))
def test_any_other_text_is_no_position(text: str) -> None:
    assert parse_position(text, TOPICS) is None


def _text(value: object) -> str:
    return urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        [7],
        [-1, []],
        [1 << 42, []],
        ["7", []],
        [7, [["page-views", 1, 2]]],
        [7, [["page'views", 1, 2, 3]]],
        [7, [["dead-letters", 1, 2, 3]]],
        [7, [["", 1, 2, 3]]],
        [True, []],
        [7, [["page-views", True, 2, 3]]],
        [7, [["page-views", 1 << 16, 2, 3]]],
        [7, [["page-views", 1, 1 << 32, 3]]],
        [7, [["page-views", 1, 2, 1 << 63]]],
        [7, [["page-views", 1, 2, -3]]],
        [7, [["page-views", number, 2, 3] for number in range(49)]],
    ],
    ids=str,
)
def test_a_position_out_of_bounds_is_none(value: object) -> None:
    assert parse_position(_text(value), TOPICS) is None


def test_a_position_keeps_only_partitions_of_its_window() -> None:
    now_ms = 1_001 + LOOK_BACK_MS
    many = [(("page-views", number), Message(1, 5, 1_000)) for number in range(500)]
    position = Position(0, {}).advanced(many, now_ms)
    assert len(position.last) == 500
    later = position.advanced([(("conversions", 0), Message(1, 9, now_ms))], now_ms)
    assert list(later.last) == [("conversions", 0)]
    assert later.covers(position)
    assert not position.covers(later)


def test_a_position_never_goes_back() -> None:
    start = Position(0, {}).advanced([(KEY, Message(2, 5, 1_000))], 1_000)
    again = start.advanced([(KEY, Message(1, 9, 900))], 1_000)
    assert again == start


def test_a_position_of_as_many_partitions_as_there_may_be_is_taken() -> None:
    """Four times those of the registry, with the largest numbers."""
    most = Message(2**32 - 1, 2**63 - 1, 2**41)
    longest = 249 * "x"
    many = [((longest, 2**16 - 1 - number), most) for number in range(MAX_PARTITIONS)]
    parsed = parse_position(Position(0, {}).advanced(many, 2**41).text(), {longest})
    assert parsed is not None
    assert len(parsed.last) == MAX_PARTITIONS == 48
