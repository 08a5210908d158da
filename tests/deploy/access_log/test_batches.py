"""Batches keep to the edge's limits, and nothing of a log is left uncounted."""

import gzip
import io

import orjson
import pytest

from deploy.access_log.batches import MAX_BATCH_BYTES, Batch, Batches
from deploy.access_log.event_ids import EventIds
from deploy.access_log.page_view import PageViews
from deploy.access_log.source import BrokenGzip, LogSource
from deploy.access_log.visitors import VisitorIds


def batches(data: bytes) -> Batches:
    source = LogSource(io.BytesIO(data), name="log", size=None)  # type: ignore[arg-type]
    return Batches(source, PageViews(EventIds(), VisitorIds(b"k" * 32), None))


def log(count: int, path: str = "/") -> bytes:
    line = f'192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET {path} HTTP/1.1" 200 1\n'
    return line.encode() * count


def sizes(found: list[Batch]) -> list[int]:
    return [len(batch.events) for batch in found]


def test_a_batch_has_a_thousand_events_at_most() -> None:
    found = list(batches(log(2001)))
    assert sizes(found) == [1000, 1000, 1]
    assert found[2].line_numbers == (2001,)


def test_a_batch_fits_into_a_request() -> None:
    found = list(batches(log(1000, "/" + "x" * 2000)))
    assert sum(sizes(found)) == 1000
    bodies = [len(b"[" + b",".join(batch.events) + b"]") for batch in found]
    assert MAX_BATCH_BYTES * 0.9 < bodies[0] < MAX_BATCH_BYTES + 2 < 1024 * 1024


def test_every_line_is_counted_once_under_what_became_of_it() -> None:
    data = b"\n" + log(1) + b"nothing\n" + log(1, "/" + "x" * 2048) + log(1)
    data += log(1).replace(b"GET / HTTP/1.1", b"-")
    found = batches(data)
    (batch,) = found
    reading = found.reading
    assert batch.line_numbers == (2, 5)
    assert (reading.lines, reading.page_views) == (6, 2)
    assert reading.not_log_lines.first == [(1, b""), (3, b"nothing")]
    assert [number for number, _ in reading.without_request.first] == [6]
    assert [refusal.line_number for refusal in reading.unacceptable.first] == [4]


def test_only_the_first_few_bad_lines_are_kept() -> None:
    found = batches(b"nothing\n" * 100_000)
    assert list(found) == []
    assert found.reading.not_log_lines.count == 100_000
    assert len(found.reading.not_log_lines.first) == 5


def test_what_stands_before_a_break_comes_before_the_error() -> None:
    found = batches(gzip.compress(log(10))[:-4])
    seen: list[Batch] = []
    with pytest.raises(BrokenGzip):
        seen.extend(found)
    assert sizes(seen) in ([], [10])
    assert found.reading.lines == 10


def test_identical_lines_are_events_of_their_own() -> None:
    (batch,) = batches(log(3))
    assert len({orjson.loads(event)["event_id"] for event in batch.events}) == 3
