"""From a log line to the event that the edge takes."""

import gzip
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.access_log.combined import NotALogLine
from deploy.access_log.event_ids import EventIds
from deploy.access_log.page_view import PageViews, Unacceptable, instant
from deploy.access_log.visitors import VisitorIds
from schemas.decoding import decode_wire_event, is_canonical, latest_occurred_at

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def page_views(source: str | None = None) -> PageViews:
    return PageViews(EventIds(), VisitorIds(b"k" * 32), source)


def event(line: bytes, source: str | None = None) -> dict[str, object]:
    found: dict[str, object] = orjson.loads(page_views(source).event(line))
    return found


def line(
    request: bytes = b"GET / HTTP/1.1",
    *,
    user: bytes = b"-",
    answer: bytes = b"200 12",
    rest: bytes = b' "-" "-"',
) -> bytes:
    start = b"192.0.2.7 - " + user + b" [17/May/2015:23:05:03 -0230] "
    return start + b'"' + request + b'" ' + answer + rest


def path_of_awk(text: str) -> str:
    """`awk '{split($7,a,"?"); print a[1]}'`."""
    fields = text.strip(" \t").replace("\t", " ").split(" ")
    return [field for field in fields if field][6].split("?")[0]


def test_paths_of_the_real_log_count_as_awk_counts_them(access_log: Path) -> None:
    log = gzip.decompress(access_log.read_bytes()).splitlines()
    views = page_views()
    paths = Counter(orjson.loads(views.event(line))["path"] for line in log)
    assert paths == Counter(path_of_awk(line.decode()) for line in log)
    assert paths.total() == 4000


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"], exclude_characters=' "\\')))
def test_any_plain_target_is_cut_as_awk_cuts_it(target: str) -> None:
    text = line(f"GET /{target} HTTP/1.1".encode())
    assert event(text)["path"] == path_of_awk(text.decode())


def test_everything_that_is_there_is_mapped() -> None:
    text = line(
        b"GET /a?b=c?d HTTP/1.1", user=b"ada", rest=b' "http://example.org/?q" "Mozilla/5.0 (x)"'
    )
    found = event(text, "web-1")
    assert UUID(str(found.pop("event_id"))).version == 5
    assert len(str(found.pop("visitor_id"))) == 32
    assert found == {
        "event_type": "page_view",
        "occurred_at": "2015-05-18T01:35:03.000Z",
        "path": "/a",
        "user_id": "ada",
        "source": "web-1",
        "metadata": {
            "method": "GET",
            "status": 200,
            "bytes": 12,
            "referrer": "http://example.org/?q",
            "user_agent": "Mozilla/5.0 (x)",
            "query": "b=c?d",
            "protocol": "HTTP/1.1",
        },
    }


def test_what_is_absent_is_left_out() -> None:
    found = event(line(b"GET /", answer=b"- -", rest=b""))
    assert found.keys() == {
        "event_type", "event_id", "occurred_at", "path", "visitor_id", "metadata",
    }  # fmt: skip
    assert found["metadata"] == {"method": "GET"}


def test_a_visitor_is_counted_by_the_day_in_utc() -> None:
    before, after = line().replace(b"23:05", b"21:29"), line().replace(b"23:05", b"21:30")
    assert event(before)["visitor_id"] != event(after)["visitor_id"]
    assert event(after)["visitor_id"] == event(line())["visitor_id"]


@pytest.mark.parametrize(
    ("user", "answer"), [(b"-", b"200 1"), (b'""', b"200 1"), (b"ada", b"401 1")]
)
def test_nobody_is_named_who_did_not_sign_in(user: bytes, answer: bytes) -> None:
    assert "user_id" not in event(line(user=user, answer=answer))


@pytest.mark.parametrize(
    ("request_line", "field"),
    [
        (b"GET /" + b"x" * 2048 + b" HTTP/1.1", "path"),
        (b"GET ?q HTTP/1.1", "path"),
        (b"GET /?" + b"x" * 16_384 + b" HTTP/1.1", "metadata"),
        (b"GET /?" + b"\x01" * 3000 + b" HTTP/1.1", "metadata"),
    ],
)
def test_what_the_edge_would_reject_is_not_sent(request_line: bytes, field: str) -> None:
    with pytest.raises(Unacceptable) as caught:
        event(line(request_line))
    assert caught.value.field == field


def test_the_longest_path_is_sent() -> None:
    assert event(line(b"GET /" + b"x" * 2047 + b" HTTP/1.1"))["path"] == "/" + "x" * 2047


@given(st.binary(max_size=100).filter(lambda data: b"\n" not in data))
def test_the_edge_takes_every_event_in_its_fast_lane(data: bytes) -> None:
    quoted = data.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    text = line(b"GET /" + quoted + b" HTTP/1.1", rest=b' "' + quoted + b'" "' + quoted + b'"')
    body = page_views().event(text)
    assert is_canonical(decode_wire_event(body), latest_occurred_at(NOW))


@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_times_are_read_with_their_zone(local: datetime, minutes: int) -> None:
    local = local.replace(microsecond=0)
    zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
    text = local.strftime("%d/%b/%Y:%H:%M:%S ") + zone
    expected = datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z").astimezone(UTC)
    found = instant(text)
    assert datetime.fromisoformat(found.occurred_at) == expected
    assert found.day == f"{expected:%Y-%m-%d}"


@pytest.mark.parametrize(
    "text",
    [
        "31/Feb/2015:10:05:03 +0000",
        "17/Mai/2015:10:05:03 +0000",
        "17/May/2015:24:05:03 +0000",
        "17/May/2015:10:05:03 +2400",
        "17/May/2015:10:05:03 +0060",
        "01/Jan/0001:00:00:00 +0100",
        "1_/May/2015:10:05:03 +0000",
    ],
)
def test_a_time_that_never_was_is_none(text: str) -> None:
    with pytest.raises(NotALogLine):
        instant(text)
