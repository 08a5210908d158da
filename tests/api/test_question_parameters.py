"""What questions take and refuse, in which form they answer, and what holds by default."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from urllib.parse import quote

import pytest
from multidict import CIMultiDict

from api.analytics.filters import DIMENSIONS
from api.analytics.timeseries import DEFAULT_RANGE, TimeseriesQuestion
from schemas.limits import MAX_EVENT_TYPE_CHARACTERS, MAX_NAME_CHARACTERS, MAX_PATH_CHARACTERS
from tests.api.requests import SUMMARY, ask, post
from tests.weir import Json, Weir

pytestmark = pytest.mark.services

BREAKDOWN = "/analytics/breakdown?by=path"
TOTALS = "/analytics/totals?bots=include"
TIMESERIES = "/analytics/timeseries?interval=day"
QUESTIONS = [f"{SUMMARY}?limit=1", BREAKDOWN, TOTALS, TIMESERIES]
A_TIME = "such as 2026-11-24T09:30:00Z"
CSV = "text/csv; charset=utf-8"
JSON = "application/json"
A_DAY = "from=2025-11-24T00:00:00Z&to=2025-11-25T00:00:00Z"


@pytest.fixture(autouse=True)
def _no_stack_trace(edge: Weir) -> Iterator[None]:
    """Whatever is asked, the API logs no error and keeps running."""
    before = {log: log.stat().st_size for log in edge.folder.glob("*-api.log")}
    yield
    for log, size in before.items():
        assert '"level": "error"' not in log.read_bytes()[size:].decode()


async def refusal(weir: Weir, target: str, field: str) -> str:
    """The detail of a question's 422, which names the parameter."""
    detail = (await ask(weir, "GET", target)).problem(422, field)["detail"]
    assert isinstance(detail, str)
    assert detail.startswith(field)
    return detail


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize(
    ("query", "field", "says"),
    [
        ("from=", "from", A_TIME),
        ("from=yesterday", "from", A_TIME),
        ("to=1767225600", "to", A_TIME),
        ("to=1767225600000.5", "to", A_TIME),
        ("from=2026-11-24", "from", "add `Z` for UTC"),
        ("from=2026-11-24T09:30:00+02:00", "from", "write the + as %2B"),
        ("from=1969-12-31T23:59:59Z", "from", "between 1970 and 2106"),
        ("to=2106-01-01T00:00:00.001Z", "to", "between 1970 and 2106"),
        ("from=2026-02-01T00:00:00Z&to=2026-01-31T23:59:59Z", "to", "before `from`; swap"),
        ("event_type=", "event_type", "leave it out"),
        ("path=", "path", "leave it out"),
        ("user_id=", "user_id", "leave it out"),
        ("path=/a&path=/b", "path", "given twice"),
        ("country=DE&country=DE", "country", "given twice"),
        ("colour=red", "colour", "/docs lists"),
        ("start=2026-11-24T00:00:00Z", "start", "/docs lists"),
        ("visitor_id=v-1", "visitor_id", "/docs lists"),
        ("Country=DE", "Country", "/docs lists"),
    ],
)
async def test_a_bad_parameter(
    edge: Weir, question: str, query: str, field: str, says: str
) -> None:
    assert says in await refusal(edge, f"{question}&{query}", field)


@pytest.mark.parametrize("question", [f"{SUMMARY}?limit=1", BREAKDOWN, TIMESERIES])
@pytest.mark.parametrize("value", ["", "maybe", "EXCLUDE", "true", "exclude,include"])
async def test_bots_are_excluded_included_or_alone(edge: Weir, question: str, value: str) -> None:
    detail = await refusal(edge, f"{question}&bots={value}", "bots")
    assert "'exclude', 'include' or 'only'" in detail


LONGEST = {
    "event_type": MAX_EVENT_TYPE_CHARACTERS,
    "path": MAX_PATH_CHARACTERS,
    "route": MAX_PATH_CHARACTERS,
}
TEXTS = ["event_type", "user_id", *DIMENSIONS]


@pytest.mark.parametrize("name", TEXTS)
async def test_a_value_that_is_longer_than_any_event_has(edge: Weir, name: str) -> None:
    longest = LONGEST.get(name, MAX_NAME_CHARACTERS)
    for question in QUESTIONS:
        # Each character is three bytes, and nine in the URL.
        answer = await ask(edge, "GET", f"{question}&{name}={quote('…' * longest)}")
        assert answer.status == 200, answer.body[:500]
        detail = await refusal(edge, f"{question}&{name}={'x' * (longest + 1)}", name)
        assert f"longer than {longest} characters" in detail


@pytest.mark.parametrize(
    ("query", "field", "says"),
    [
        ("timezone=Europe/Berln", "timezone", "did you mean Europe/Berlin"),
        ("timezone=Berlin", "timezone", "did you mean Europe/Berlin"),
        ("timezone=%2B02:00", "timezone", "such as Europe/Berlin or UTC"),
        ("timezone=../../etc/passwd", "timezone", "no known time zone"),
        ("timezone=", "timezone", "must not be empty"),
        (f"timezone={'x' * 5_000}", "timezone", "longer than 64"),
        ("interval=fortnight", "interval", "'minute', 'hour', 'day', 'week' or 'month'"),
        ("interval=", "interval", "'minute', 'hour', 'day', 'week' or 'month'"),
        ("interval=DAY", "interval", "'minute', 'hour', 'day', 'week' or 'month'"),
        ("group_by=colour", "group_by", "'path', 'referrer'"),
        ("group_by=", "group_by", "'path', 'referrer'"),
        ("group_by=user_id", "group_by", "'path', 'referrer'"),
        ("group_by=path&groups=0", "groups", "at least 1"),
        ("group_by=path&groups=21", "groups", "at most 20"),
        ("group_by=path&groups=many", "groups", "a whole number"),
        ("group_by=path&groups=", "groups", "a whole number"),
        ("limit=5", "limit", "/docs lists"),
        ("timezone=UTC&timezone=UTC", "timezone", "given twice"),
    ],
)
async def test_a_bad_parameter_of_a_time_series(
    edge: Weir, query: str, field: str, says: str
) -> None:
    assert says in await refusal(edge, f"/analytics/timeseries?{query}", field)


@pytest.mark.parametrize(
    ("query", "field", "says"),
    [
        ("", "by", "is required"),
        ("by=", "by", "'path', 'referrer'"),
        ("by=colour", "by", "'source' or 'event_type'"),
        ("by=bot", "by", "'path', 'referrer'"),
        ("by=user_id", "by", "'path', 'referrer'"),
        ("by=path&by=country", "by", "given twice"),
        ("by=path&limit=0", "limit", "at least 1"),
        ("by=path&limit=10001", "limit", "at most 10000"),
    ],
)
async def test_a_bad_parameter_of_a_breakdown(
    edge: Weir, query: str, field: str, says: str
) -> None:
    assert says in await refusal(edge, f"/analytics/breakdown?{query}", field)


async def test_totals_have_no_limit(edge: Weir) -> None:
    assert "/docs lists" in await refusal(edge, "/analytics/totals?limit=5", "limit")


@pytest.mark.parametrize(
    ("interval", "query", "instead"),
    [
        ("minute", "from=1975-01-01T00:00:00Z&to=2025-01-01T00:00:00Z", "month"),
        ("minute", "from=2025-01-01T00:00:00Z&to=2025-01-03T00:00:00Z", "hour"),
        ("hour", "from=2024-01-01T00:00:00Z&to=2025-01-01T00:00:00Z", "day"),
        ("day", "from=1970-01-01T00:00:00Z&to=2000-01-01T00:00:00Z", "week"),
    ],
)
async def test_more_buckets_than_an_answer_has(
    edge: Weir, interval: str, query: str, instead: str
) -> None:
    target = f"/analytics/timeseries?{query}&interval="
    detail = await refusal(edge, f"{target}{interval}", "interval")
    assert "more than the 2,000 of an answer" in detail
    assert f"ask by {instead}, or for at most " in detail
    # What is advised is answered.
    assert (await ask(edge, "GET", f"{target}{instead}")).status == 200


async def test_several_bad_parameters_are_all_named(edge: Weir) -> None:
    answer = await ask(edge, "GET", "/analytics/timeseries?timezone=x&interval=y&group_by=z&a=b")
    assert answer.status == 422
    fields = {error["field"] for error in answer.json["errors"]}
    assert fields == {"timezone", "interval", "group_by", "a"}


SQL = [
    "' OR 1=1 --",
    "'; DROP TABLE event_counts; --",
    "\\'; DROP TABLE events; --",
    "{dimension:String}",
    "path) UNION ALL SELECT version(), '', 0, 0 --",
    "page_view' OR event_type != '",
    "['a','b']",
    "\t\n\\N\0\r",
    "\\",
    "'",
    "\ufffd\u202e",
]
BOUND = {"event_type", "user_id", *DIMENSIONS}


async def test_sql_in_every_parameter_changes_and_finds_nothing(edge: Weir) -> None:
    answer = await post(edge, {"event_type": "page_view", "path": "/sql", "user_id": "u-1"})
    assert answer.status == 202

    def tables() -> list[tuple[Json, ...]]:
        return edge.query(
            "SELECT name, metadata_version FROM system.tables WHERE database = {name:String}"
            " ORDER BY name",
            name=edge.name,
        )

    before = await asyncio.to_thread(tables)
    names = [field.alias or name for name, field in TimeseriesQuestion.model_fields.items()]
    for (question, name), sql in product(product(QUESTIONS, [*names, "by", "limit"]), SQL):
        # By itself where the question has it already.
        target = question.split("?")[0] if f"?{name}=" in question else question
        sent = f"{target}{'&' if '?' in target else '?'}{name}={quote(sql)}"
        answer = await ask(edge, "GET", sent)
        if name not in BOUND:
            answer.problem(422)
            assert name in {error["field"] for error in answer.json["errors"]}, sent
            continue
        assert answer.status == 200, (sent, answer.body[:500])
        items = answer.json.get("items", [answer.json.get("count")])
        assert not any(item.get("count", item.get("value")) for item in items), sent
    assert len(before) > 4
    assert await asyncio.to_thread(tables) == before


async def test_bytes_that_are_no_text_find_nothing(edge: Weir) -> None:
    for question, name, value in product(QUESTIONS, ["path", "country"], ["%ff", "%ed%a0%80"]):
        assert (await ask(edge, "GET", f"{question}&{name}={value}")).status == 200


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("text/*", JSON),
        ("application/json", JSON),
        ("text/csv", CSV),
        ("Text/CSV", CSV),
        ("text/csv; charset=utf-8", CSV),
        ("text/csv, */*;q=0.1", CSV),
        ("text/csv;q=0.5, application/json;q=0.9", JSON),
        ("text/csv;q=0.9, application/json;q=0.5", CSV),
        ("application/json;q=0.2,text/html,text/csv;header=present;q=0.3", CSV),
        ("text/csv;q=0", JSON),
        ("text/csv;q=0.000, application/json;q=0", JSON),
        ("text/csv;q=much", JSON),
        ("text/csvx", JSON),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON),
    ],
)
async def test_csv_is_for_those_who_rather_have_it(
    edge: Weir, question: str, accept: str | None, form: str
) -> None:
    headers = {} if accept is None else {"Accept": accept}
    answer = await ask(edge, "GET", f"{question}&{A_DAY}", headers=headers)
    assert answer.status == 200
    assert answer.headers["Vary"] == "Accept"
    assert answer.headers["Content-Type"] == form
    assert answer.body.startswith(b"{") is (form == JSON)


async def test_accept_may_have_several_lines(edge: Weir) -> None:
    lines = CIMultiDict([("Accept", "application/json;q=0.5"), ("Accept", "text/csv")])
    answer = await ask(edge, "GET", f"{SUMMARY}?{A_DAY}", headers=lines)
    assert answer.headers["Content-Type"] == CSV


@pytest.mark.parametrize(
    ("question", "header"),
    [
        (f"{SUMMARY}?limit=1", "path,count,visitors"),
        (BREAKDOWN, "value,count,visitors"),
        (TOTALS, "measure,value,previous,change"),
        (TIMESERIES, "start,count,visitors"),
        (f"{TIMESERIES}&group_by=path", "start,value,count,visitors"),
    ],
)
async def test_csv_has_its_header_also_when_there_is_nothing(
    edge: Weir, question: str, header: str
) -> None:
    empty = "from=1971-01-01T00:00:00Z&to=1971-01-01T00:00:00Z"
    answer = await ask(edge, "GET", f"{question}&{empty}", headers={"Accept": "text/csv"})
    lines = answer.body.decode().split("\r\n")
    assert lines[0] == header
    if question != TOTALS:
        assert lines[1:] == [""]


async def test_a_problem_is_json_for_those_who_want_csv_too(edge: Weir) -> None:
    answer = await ask(edge, "GET", f"{SUMMARY}?limit=0", headers={"Accept": "text/csv"})
    answer.problem(422, "limit")


async def span(weir: Weir, target: str) -> tuple[datetime, datetime, datetime]:
    """From and to of an answer, and when it was asked for at the latest."""
    answer = await ask(weir, "GET", target)
    assert answer.status == 200, answer.body[:500]
    start, end = (datetime.fromisoformat(answer.json[name]) for name in ("from", "to"))
    return start, end, datetime.now(UTC)


def just_now(end: datetime, asked_by: datetime) -> bool:
    return timedelta(milliseconds=-1) <= asked_by - end < timedelta(seconds=30)


async def test_totals_are_of_the_last_thirty_days(edge: Weir) -> None:
    start, end, asked_by = await span(edge, "/analytics/totals")
    assert end - start == timedelta(days=30)
    assert just_now(end, asked_by)


@pytest.mark.parametrize("interval", ["minute", "hour", "day", "week", "month", None])
async def test_a_time_series_ends_now(edge: Weir, interval: str | None) -> None:
    query = f"?interval={interval}" if interval else ""
    start, end, asked_by = await span(edge, f"/analytics/timeseries{query}")
    lengths = {
        "minute": timedelta(hours=1),
        "hour": timedelta(days=2),
        "day": timedelta(days=30),
        "week": timedelta(weeks=26),
        "month": timedelta(days=365),
    }
    assert lengths == DEFAULT_RANGE
    assert end - start == lengths[interval or "day"]
    assert just_now(end, asked_by)


@pytest.mark.parametrize("question", ["/analytics/totals", "/analytics/timeseries"])
async def test_one_end_says_where_the_other_is(edge: Weir, question: str) -> None:
    end = datetime(2020, 5, 6, tzinfo=UTC)
    assert (await span(edge, f"{question}?to={end:%FT%TZ}"))[:2] == (end - timedelta(days=30), end)
    # Not before there are times.
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    early = epoch + timedelta(days=3)
    assert (await span(edge, f"{question}?to={early:%FT%TZ}"))[:2] == (epoch, early)
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(days=7)
    found, end, asked_by = await span(edge, f"{question}?from={start:%FT%TZ}")
    assert found == start
    assert just_now(end, asked_by)


@pytest.mark.parametrize("question", ["/analytics/totals", "/analytics/timeseries"])
async def test_from_the_future_on_there_is_nothing(edge: Weir, question: str) -> None:
    start = datetime(2105, 1, 1, tzinfo=UTC)
    assert (await span(edge, f"{question}?from={start:%FT%TZ}"))[:2] == (start, start)
