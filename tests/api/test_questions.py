"""Every answer of every question is what a slow count over the events as they were sent gives."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import pytest
import pytest_asyncio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.sink.visits import columns_of
from tests.api.oracle import EPOCH, Sent, by_value, chosen, timeseries, totals
from tests.api.requests import SUMMARY, Answer, ask, post
from tests.services import Services
from tests.weir import Json, Weir, throwaway_weir

pytestmark = pytest.mark.services

BREAKDOWN = "/analytics/breakdown"
TOTALS = "/analytics/totals"
TIMESERIES = "/analytics/timeseries"

MS = timedelta(milliseconds=1)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
QUARTER = timedelta(minutes=15)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NOW = datetime.now(UTC).replace(microsecond=0)
EDGES = [
    # Berlin's clock goes forward, and back; Lord Howe's by half an hour, back and forward.
    utc("2025-03-30T01:00"),
    utc("2025-10-26T01:00"),
    utc("2025-04-05T15:00"),
    utc("2025-10-04T15:30"),
    # Units of 64 and of 8 days begin here.
    utc("2025-11-24T00:00"),
    utc("2025-11-16T00:00"),
    # Midnights of Berlin and Kathmandu, and a turn of the year.
    utc("2025-07-31T22:00"),
    utc("2025-07-31T18:15"),
    utc("2025-12-31T00:00"),
    utc("2026-01-01T00:00"),
    # Late by decades. Kathmandu's clock went forward by a quarter at the begin of 1986.
    utc("2000-02-29T00:00"),
    utc("1985-12-31T18:30"),
    utc("1970-03-06T00:00"),
    EPOCH,
]
STEPS = [MS, SECOND, MINUTE, QUARTER, 2 * QUARTER, HOUR, 3 * HOUR, DAY]

CHROME = "Mozilla/5.0 ({}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 {}Safari/537.36"
SAFARI = "Mozilla/5.0 ({}) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 {}Safari/604.1"
USER_AGENTS = [
    CHROME.format("Windows NT 10.0; Win64; x64", ""),
    CHROME.format("Linux; Android 14; Pixel 8", "Mobile "),
    SAFARI.format("iPhone; CPU iPhone OS 17_5 like Mac OS X", "Mobile/15E148 "),
    SAFARI.format("iPad; CPU OS 16_6 like Mac OS X", "Mobile/15E148 "),
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:127.0) Gecko/20100101 Firefox/127.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "curl/8.5.0",
    "",
]
# What is sent, and what it says.
Saying = tuple[dict[str, Json], str]
REFERRERS: list[Saying] = [
    ({}, ""),
    ({"referrer": "https://t.co/abc"}, "t.co"),
    ({"referrer": "http://www.Example.org:8080/a?b=c"}, "example.org"),
    ({"referrer": "https://shop.example/a", "host": "shop.example"}, ""),
    ({"referrer": "https://news.example/?q='"}, "news.example"),
    ({"referrer": "not a URL"}, ""),
]
COUNTRIES: list[Saying] = [
    ({}, ""),
    ({"country": "de"}, "DE"),
    ({"country": "FR"}, "FR"),
    ({"country": 7}, ""),
]
STATUSES: list[Saying] = [
    ({}, ""),
    ({"status": 200}, "200"),
    ({"status": "404"}, "404"),
    ({"status": 99}, ""),
]
METHODS: list[Saying] = [({}, ""), ({"method": "get"}, "GET"), ({"method": "POST"}, "POST")]
ROUTES: list[Saying] = [
    ({}, ""),
    *(({"route": route}, route) for route in ("/users/{id}", "/a\\b\t'", "/é")),
]

PATHS = [
    *("/", "/a", "/A", "/a/b", "/a b", "/é", "/😀", "/it's", "/100%25", "/a+b&c=d", '/"q"'),
    *("/tab\there", "/line\nbreak", "/back\\slash", "/a\\n", "/\\N", "/{path:String}", "/nul\0"),
    *("/' OR 1=1 --", "/[1,2]", "/a,b"),
]
SOURCES = ["", "web", "web", "ios", "it's \\ a\tsource"]
USERS = ["", "", "same", "o'neil\\", "u\n1", *(f"u-{number}" for number in range(20))]
VISITORS = ["", "", "same", *(f"v-{number}" for number in range(80))]
DIMENSIONS = [
    *("path", "referrer", "country", "device", "browser", "os", "status", "method", "route"),
    *("source", "event_type"),
]


def made(number: int) -> Sent:
    """Some event, often on the very edge of a unit of time, or beside it."""
    random = Random(number)
    edge = random.choice(EDGES)
    moment = edge + random.choice([-1, 0, 0, 1]) * random.choice(STEPS)
    if random.random() < 0.4:
        reach = random.choice([QUARTER, 4 * HOUR, 3 * DAY, 70 * DAY])
        moment = edge + MS * random.randint(-reach // MS, reach // MS)
    if random.random() < 0.05:
        moment = NOW - MS * random.randrange(3 * DAY // MS)
    user_agent = random.choice(USER_AGENTS)
    parts: dict[str, Saying] = {
        "referrer": random.choice(REFERRERS),
        "country": random.choice(COUNTRIES),
        "status": random.choice(STATUSES),
        "method": random.choice(METHODS),
        "route": random.choice(ROUTES),
    }
    metadata: dict[str, Json] = {"number": number}
    for sent, _ in parts.values():
        metadata |= sent
    if user_agent:
        metadata["user_agent"] = user_agent
    client = columns_of([orjson.dumps({"user_agent": user_agent}).decode()])
    return Sent(
        event_id=str(UUID(int=random.getrandbits(128), version=4)),
        event_type=random.choice(["page_view", "page_view", "page_view", "conversion", "signup"]),
        path=random.choice(PATHS),
        user_id=random.choice(USERS),
        visitor_id=random.choice(VISITORS),
        source=random.choice(SOURCES),
        occurred=max(moment, EPOCH),
        metadata=metadata,
        bot=client.bot[0],
        says={
            "device": client.device[0],
            "browser": client.browser[0],
            "os": client.os[0],
            **{name: says for name, (_, says) in parts.items()},
        },
    )


SENT = [made(number) for number in range(3_000)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def filled(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Weir]:
    """A Weir that holds these events and no others."""
    async with throwaway_weir(services, tmp_path_factory.mktemp("questions")) as weir:
        weir.start_sink()
        await weir.start_api()
        for begin in range(0, len(SENT), 500):
            answer = await post(weir, [event.document() for event in SENT[begin : begin + 500]])
            assert answer.status == 202, answer.body[:500]

        async def all_stored() -> bool:
            # A rollup has a batch some milliseconds after the raw events do.
            [(rows, rolled_up)] = await asyncio.to_thread(
                weir.query,
                "SELECT (SELECT count() FROM events), (SELECT sum(count) FROM event_counts"
                " WHERE dimension = 'source' AND unit = 5529600)",
            )
            return int(rows) == int(rolled_up) == len(SENT)

        await weir.eventually(all_stored)
        yield weir


# On an edge or beside it, at an event or beside it, finer than a millisecond, or anywhere.
signs = st.sampled_from([-1, 0, 1])
moments = st.one_of(
    st.builds(
        lambda edge, sign, step: edge + sign * step,
        st.sampled_from(EDGES),
        signs,
        st.sampled_from(STEPS),
    ),
    st.builds(
        lambda event, micros: event.occurred + timedelta(microseconds=micros),
        st.sampled_from(SENT),
        st.sampled_from([-1000, -1, 0, 0, 1, 400, 1000]),
    ),
    st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2026, 3, 1)).map(
        lambda moment: moment.replace(tzinfo=UTC)
    ),
).map(lambda moment: max(moment, EPOCH))
lengths = st.one_of(
    st.sampled_from([*STEPS, 8 * DAY, 64 * DAY, 128 * DAY, 365 * DAY]),
    st.builds(
        lambda step, part: step * part,
        st.sampled_from([QUARTER, HOUR, DAY, 64 * DAY, 3_000 * DAY]),
        st.floats(0, 2),
    ),
)


@st.composite
def ranges(draw: st.DrawFn) -> tuple[datetime, datetime]:
    """A range of any length, a quarter of them cut anywhere."""
    start = draw(moments)
    end = draw(lengths.map(lambda length: start + length) | moments)
    return min(start, end), max(start, end)


@st.composite
def open_ranges(draw: st.DrawFn) -> tuple[datetime | None, datetime | None]:
    start, end = draw(ranges())
    return draw(st.sampled_from([(start, end)] * 3 + [(None, end), (start, None), (None, None)]))


def values_of(name: str) -> st.SearchStrategy[str]:
    """Values that events have, '' where it may be asked for, and one that none has."""
    values = sorted({event.value(name) for event in SENT} | {"nothing"})
    if name in {"event_type", "path", "user_id"}:
        values = [value for value in values if value]
    return st.sampled_from(values)


FILTERS = [*DIMENSIONS, "user_id"]


@st.composite
def filters(draw: st.DrawFn) -> dict[str, str]:
    """Mostly none, one or two conditions, and what of bots."""
    names = draw(
        st.lists(st.sampled_from(FILTERS), max_size=draw(st.sampled_from([0, 1, 1, 2, 3])))
    )
    chosen_values = {name: draw(values_of(name)) for name in names}
    bots = draw(st.sampled_from(["", "exclude", "include", "include", "only"]))
    return {**chosen_values, **({"bots": bots} if bots else {})}


def target(endpoint: str, **parameters: object) -> str:
    """The request line's target; None is not sent, moments are sent with all their digits."""
    sent = {
        name.rstrip("_"): value.isoformat() if isinstance(value, datetime) else str(value)
        for name, value in parameters.items()
        if value is not None
    }
    return f"{endpoint}?{urlencode(sent)}"


async def answer_of(weir: Weir, endpoint: str, **parameters: object) -> Answer:
    answer = await ask(weir, "GET", target(endpoint, **parameters))
    assert answer.status == 200, answer.body[:1_000]
    return answer


async def rows_of_csv(weir: Weir, endpoint: str, **parameters: object) -> list[dict[str, str]]:
    """The lines of the same question's CSV by the names of its header."""
    answer = await ask(weir, "GET", target(endpoint, **parameters), headers={"Accept": "text/csv"})
    assert answer.status == 200, answer.body[:1_000]
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    lines = io.StringIO(answer.body.decode(), newline="")
    return list(csv.DictReader(lines, strict=True))


def as_text(items: list[dict[str, Json]]) -> list[dict[str, str]]:
    """What items are in CSV."""
    return [
        {name: "" if value is None else str(value) for name, value in item.items()}
        for item in items
    ]


Range = tuple[datetime | None, datetime | None]
limits = st.sampled_from([None, None, 1, 3, 10_000])


@given(range_=open_ranges(), by=st.sampled_from(DIMENSIONS), asked=filters(), limit=limits)
@settings(max_examples=100)
async def test_a_breakdown_by_any_dimension(
    filled: Weir, range_: Range, by: str, asked: dict[str, str], limit: int | None
) -> None:
    start, end = range_
    parameters = {"from_": start, "to": end, "by": by, "limit": limit, **asked}
    expected = by_value(chosen(SENT, start, end, asked), by)[: limit or 100]
    items = [{"value": value, "count": count, "visitors": v} for value, count, v in expected]
    answer = await answer_of(filled, BREAKDOWN, **parameters)
    assert answer.json == {"by": by, "items": items}
    assert await rows_of_csv(filled, BREAKDOWN, **parameters) == as_text(items)


@given(range_=open_ranges(), asked=filters(), limit=limits)
@settings(max_examples=40)
async def test_a_summary(
    filled: Weir, range_: Range, asked: dict[str, str], limit: int | None
) -> None:
    start, end = range_
    parameters = {"from_": start, "to": end, "limit": limit, **asked}
    expected = by_value(chosen(SENT, start, end, asked), "path")[: limit or 100]
    items = [{"path": path, "count": count, "visitors": v} for path, count, v in expected]
    answer = await answer_of(filled, SUMMARY, **parameters)
    assert answer.json == {"items": items}
    assert await rows_of_csv(filled, SUMMARY, **parameters) == as_text(items)


@given(range_=ranges(), asked=filters())
@settings(max_examples=80)
# Nothing is before 1970, and less than a millisecond is not before anything.
@example((EPOCH, EPOCH + HOUR), {})
@example((EDGES[0] - timedelta(microseconds=100), EDGES[0] + timedelta(microseconds=100)), {})
async def test_totals_and_those_of_the_period_before(
    filled: Weir, range_: tuple[datetime, datetime], asked: dict[str, str]
) -> None:
    start, end = range_
    answer = await answer_of(filled, TOTALS, from_=start, to=end, **asked)
    document = answer.json
    measures = totals(SENT, start, end, asked)
    assert {name: document[name] for name in document if name not in {"from", "to"}} == measures
    rows = [{"measure": name, **measure} for name, measure in measures.items()]
    assert await rows_of_csv(filled, TOTALS, from_=start, to=end, **asked) == as_text(rows)


ZONES = [
    *("UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "America/New_York"),
    *("Pacific/Apia", "Pacific/Chatham", "America/Sao_Paulo", "Asia/Kolkata", "Africa/Cairo"),
]
UNITS = {
    "minute": MINUTE,
    "hour": HOUR,
    "day": DAY,
    "week": 7 * DAY,
    "month": 30 * DAY,
}


@st.composite
def series(draw: st.DrawFn) -> dict[str, Json]:
    """The parameters of a time series: any interval and zone, some to many buckets."""
    interval = draw(st.sampled_from(sorted(UNITS)))
    length = UNITS[interval] * draw(st.floats(0, draw(st.sampled_from([1, 5, 30, 300]))))
    start = draw(moments)
    # Before, after or around the moment, which is where events are.
    start = max(EPOCH, start - draw(st.sampled_from([0, 0.5, 1])) * length)
    group_by = draw(st.none() | st.sampled_from(DIMENSIONS))
    return {
        "from_": start,
        "to": start + length,
        "interval": interval,
        "timezone": draw(st.sampled_from(ZONES)),
        "group_by": group_by,
        "groups": draw(st.sampled_from([None, 1, 3, 20])) if group_by else None,
    }


SUB_MILLISECOND: dict[str, Json] = {
    "from_": EDGES[0] - timedelta(microseconds=100),
    "to": EDGES[0] + HOUR,
    "interval": "hour",
    "timezone": "UTC",
    "group_by": None,
    "groups": None,
}

LONGEST: dict[str, Json] = {
    "from_": utc("2020-07-14T00:00:00.001"),
    "to": utc("2026-01-03T18:14:59.999"),
    "interval": "day",
    "timezone": "Asia/Kathmandu",
}


def around(edge: int, interval: str, zone: str, length: timedelta) -> dict[str, Json]:
    """The series across a change of a zone's clock."""
    return {
        "from_": EDGES[edge] - length,
        "to": EDGES[edge] + length,
        "interval": interval,
        "timezone": zone,
        "group_by": None,
        "groups": None,
    }


@given(question=series(), asked=filters())
@settings(max_examples=150)
@example(SUB_MILLISECOND, {})
@example({**SUB_MILLISECOND, "group_by": "path"}, {"bots": "include"})
@example(around(0, "hour", "Europe/Berlin", 30 * HOUR), {})
@example(around(1, "hour", "Europe/Berlin", 30 * HOUR), {})
@example(around(1, "minute", "Europe/Berlin", 3 * HOUR), {"bots": "include"})
@example(around(2, "hour", "Australia/Lord_Howe", 5 * HOUR), {})
@example(around(3, "hour", "Australia/Lord_Howe", 5 * HOUR), {"bots": "include"})
@example(around(2, "day", "Australia/Lord_Howe", 5 * DAY), {})
# As many buckets as an answer has, each of which ends within an hour.
@example({**LONGEST, "group_by": "path", "groups": 20}, {"bots": "include"})
@example({**LONGEST, "group_by": None, "groups": None}, {"country": "DE"})
@example({**LONGEST, "group_by": "os", "groups": 2}, {"source": "web", "status": ""})
async def test_a_time_series(
    filled: Weir, question: dict[str, Json], asked: dict[str, str]
) -> None:
    parameters: Mapping[str, Json] = {**question, **asked}
    items = timeseries(
        SENT,
        question["from_"],
        question["to"],
        asked,
        interval=question["interval"],
        zone=ZoneInfo(question["timezone"]),
        group_by=question["group_by"],
        groups=question["groups"] or 10,
    )
    document = (await answer_of(filled, TIMESERIES, **parameters)).json
    assert document["items"] == items
    assert {name: document[name] for name in ("interval", "timezone", "group_by")} == {
        name: question[name] for name in ("interval", "timezone", "group_by")
    }
    if items:
        assert await rows_of_csv(filled, TIMESERIES, **parameters) == as_text(items)
