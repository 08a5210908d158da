"""Lists visit each event once, summaries count exactly, whatever the range."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.decoding import canonical_time
from tests.api.requests import EVENTS, SUMMARY, get, post
from tests.services import Services
from tests.weir import Json, Weir, throwaway_weir

pytestmark = pytest.mark.services

HOUR = timedelta(hours=1)
START = datetime(2025, 12, 31, 22, tzinfo=UTC)
"""The events lie within some hours around the turn of a year, and some far before."""
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Stored:
    """An Event as it was sent."""

    event_id: str
    event_type: str
    path: str
    user_id: str | None
    visitor_id: str | None
    occurred: datetime

    def document(self) -> dict[str, Json]:
        return {
            "event_id": self.event_id,
            "event_type": self.event_type,
            "path": self.path,
            "user_id": self.user_id,
            "visitor_id": self.visitor_id,
            "occurred_at": canonical_time(self.occurred),
        }


def made(random: Random) -> Stored:
    """Some event; its time is often one that others have too, or the very edge of an hour."""
    late = random.random() < 0.1
    moment = (LONG_AGO if late else START) + timedelta(
        hours=random.randrange(5),
        milliseconds=random.choice([0, 1, 3_599_999, 1_800_000, random.randrange(3_600_000)]),
    )
    return Stored(
        event_id=str(UUID(int=random.getrandbits(128), version=4)),
        event_type=random.choice(["page_view", "page_view", "conversion", "signup"]),
        path=random.choice(["/", "/a", "/b", "/B", "/é", "/a/b", "/a b"]),
        user_id=random.choice([None, "u-1", "u-2", "same"]),
        visitor_id=random.choice([None, None, "v-1", "v-2", "v-3", "same"]),
        occurred=moment,
    )


async def send(weir: Weir, events: list[Stored]) -> None:
    for start in range(0, len(events), 500):
        part = [event.document() for event in events[start : start + 500]]
        answer = await post(weir, part)
        assert (answer.status, answer.json["accepted"]) == (202, len(part))


async def stored(weir: Weir, count: int) -> None:
    async def all_stored() -> bool:
        # A rollup has a batch some milliseconds after the raw events do.
        [(rows, rolled_up)] = await asyncio.to_thread(
            weir.query,
            "SELECT (SELECT count() FROM events),"
            " (SELECT sum(count) FROM event_counts WHERE dimension = '' AND unit = 900)",
        )
        return int(rows) == int(rolled_up) == count

    await weir.eventually(all_stored)


EVENTS_SENT = [made(Random(seed)) for seed in range(1_500)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def filled(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Weir]:
    """A Weir that holds these events and no others."""
    async with throwaway_weir(services, tmp_path_factory.mktemp("filled")) as weir:
        weir.start_sink()
        await weir.start_api()
        await send(weir, EVENTS_SENT)
        await stored(weir, len(EVENTS_SENT))
        yield weir


def counted(keep: Callable[[Stored], bool]) -> list[Json]:
    """The summary as a slow count over all events gives it."""
    kept = [event for event in EVENTS_SENT if keep(event)]
    counts = Counter(event.path for event in kept)
    visitors = {
        path: {
            event.visitor_id or event.user_id
            for event in kept
            if event.path == path and (event.visitor_id or event.user_id)
        }
        for path in counts
    }
    # Equal counts by the bytes of the path.
    ordered = sorted(counts, key=lambda path: (-counts[path], path.encode()))
    return [{"path": p, "count": counts[p], "visitors": len(visitors[p])} for p in ordered]


moments = st.one_of(
    st.integers(-2, 6).map(lambda hours: START + hours * HOUR),
    st.datetimes(min_value=datetime(2025, 12, 31, 20), max_value=datetime(2026, 1, 1, 5)).map(
        lambda moment: moment.replace(tzinfo=UTC)
    ),
    st.sampled_from(EVENTS_SENT).map(lambda event: event.occurred),
    st.sampled_from(EVENTS_SENT).map(lambda event: event.occurred + timedelta(microseconds=1)),
    st.integers(0, 5).map(lambda hours: LONG_AGO + hours * HOUR),
)


event_types = st.none() | st.sampled_from(["page_view", "conversion", "signup", "nothing"])


def asked(start: datetime | None, end: datetime | None, event_type: str | None) -> dict[str, str]:
    parameters = {
        "from": None if start is None else start.isoformat(),
        "to": None if end is None else end.isoformat(),
        "event_type": event_type,
    }
    return {name: value for name, value in parameters.items() if value is not None}


def chosen(
    event: Stored, start: datetime | None, end: datetime | None, event_type: str | None
) -> bool:
    return (
        (start is None or event.occurred >= start)
        and (end is None or event.occurred < end)
        and event_type in {None, event.event_type}
    )


@given(start=st.none() | moments, end=st.none() | moments, event_type=event_types)
@settings(max_examples=150)
async def test_a_summary_is_what_a_slow_count_gives_in_any_range(
    filled: Weir, start: datetime | None, end: datetime | None, event_type: str | None
) -> None:
    if start and end and start > end:
        start, end = end, start
    answer = await get(filled, SUMMARY, **asked(start, end, event_type))
    assert answer.status == 200, answer.body
    expected = counted(lambda event: chosen(event, start, end, event_type))
    assert answer.json["items"] == expected


async def test_a_summary_has_the_most_first_and_no_more_than_asked(filled: Weir) -> None:
    everything = counted(lambda _: True)
    for limit in (1, 3, 10_000):
        answer = await get(filled, SUMMARY, limit=limit)
        assert answer.json == {"items": everything[:limit]}


async def paged(weir: Weir, limit: int, **parameters: str) -> AsyncIterator[list[Json]]:
    """The pages of a list, one after the other, until there is no next."""
    while True:
        answer = await get(weir, EVENTS, limit=limit, **parameters)
        assert answer.status == 200, answer.body
        page = answer.json
        assert len(page["items"]) <= limit
        yield page["items"]
        if page["next_cursor"] is None:
            return
        assert len(page["items"]) == limit
        parameters = {**parameters, "cursor": page["next_cursor"]}


@pytest.mark.parametrize("limit", [7, 100, 1_000])
async def test_pages_visit_each_event_once_newest_first(filled: Weir, limit: int) -> None:
    items = [item async for page in paged(filled, limit) for item in page]
    assert Counter(item["event_id"] for item in items) == Counter(e.event_id for e in EVENTS_SENT)
    times = [item["occurred_at"] for item in items]
    assert times == sorted(times, reverse=True)
    # Many share their millisecond: what a cursor by time alone would skip or repeat.
    assert len(set(times)) < len(times) / 2
    by_id = {event.event_id: event.document() for event in EVENTS_SENT}
    for item in items:
        assert {name: item[name] for name in by_id[item["event_id"]]} == by_id[item["event_id"]]


@given(
    start=st.none() | moments,
    end=st.none() | moments,
    event_type=event_types,
    path=st.none() | st.sampled_from(["/", "/a", "/é", "/a b", "/nowhere"]),
    user_id=st.none() | st.sampled_from(["u-1", "same", "nobody"]),
    limit=st.integers(20, 1_000),
)
@settings(max_examples=40)
async def test_filters_choose_exactly(
    filled: Weir,
    start: datetime | None,
    end: datetime | None,
    event_type: str | None,
    path: str | None,
    user_id: str | None,
    limit: int,
) -> None:
    if start and end and start > end:
        start, end = end, start
    parameters = asked(start, end, event_type)
    parameters |= {} if path is None else {"path": path}
    parameters |= {} if user_id is None else {"user_id": user_id}
    expected = Counter(
        event.event_id
        for event in EVENTS_SENT
        if chosen(event, start, end, event_type)
        and path in {None, event.path}
        and user_id in {None, event.user_id}
    )
    found = [item async for page in paged(filled, limit, **parameters) for item in page]
    assert Counter(item["event_id"] for item in found) == expected


async def test_a_page_holds_fifty_events_unless_asked_otherwise(filled: Weir) -> None:
    assert len((await get(filled, EVENTS)).json["items"]) == 50


async def test_pages_stay_whole_while_events_arrive(edge: Weir) -> None:
    path = f"/{uuid4()}"
    moment = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)

    async def sent(count: int, moments: list[datetime]) -> set[str]:
        answer = await post(
            edge,
            [
                {
                    "event_type": f"type-{number % 5}",
                    "path": path,
                    "occurred_at": moments[number % len(moments)].isoformat(),
                }
                for number in range(count)
            ],
        )
        assert answer.status == 202
        return {item["event_id"] for item in answer.json["items"]}

    async def visible(count: int) -> None:
        async def counted() -> bool:
            items = (await get(edge, SUMMARY, limit=10_000)).json["items"]
            return {item["path"]: item["count"] for item in items}.get(path) == count

        await edge.eventually(counted)

    # All in one millisecond, so that every page ends within a tie.
    there = await sent(100, [moment])
    await visible(100)
    visited: list[str] = []
    arrived = 100
    async for page in paged(edge, 7, path=path):
        visited += [item["event_id"] for item in page]
        if arrived < 150:
            # Newer, older and in the very same millisecond.
            await sent(10, [moment, moment + HOUR, moment - HOUR])
            arrived += 10
            await visible(arrived)
    assert len(set(visited)) == len(visited)
    assert there <= set(visited)


async def test_an_event_that_is_late_by_months_counts_in_its_own_hour(edge: Weir) -> None:
    path = f"/{uuid4()}"
    now = datetime.now(UTC)
    hours = [(now - timedelta(days=days)).replace(minute=0, second=0) for days in (150, 700, 0)]
    events = [
        {"event_type": "page_view", "path": path, "occurred_at": (hour + HOUR / 4).isoformat()}
        for hour in hours[:2]
    ]
    assert (await post(edge, [*events, {"event_type": "page_view", "path": path}])).status == 202

    async def count(start: datetime, end: datetime) -> int:
        answer = await get(edge, SUMMARY, limit=10_000, **asked(start, end, None))
        return sum(item["count"] for item in answer.json["items"] if item["path"] == path)

    async def all_counted() -> bool:
        return await count(LONG_AGO, now + HOUR) == 3

    await edge.eventually(all_counted)
    for hour in hours[:2]:
        assert await count(hour, hour + HOUR) == 1
        assert await count(hour - HOUR, hour) == 0
        assert await count(hour + HOUR, hour + 2 * HOUR) == 0
    assert await count(now - HOUR, now + HOUR) == 1
