"""Records are read whatever their headers' names are, by C code and by Python."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from aiokafka.consumer import fetcher
from aiokafka.structs import TopicPartition

from schemas.lenient_records import (
    KeptMemoryRecords,
    LenientRecords,
    read_lenient_records,
    read_records_as,
)
from streams.records import Record
from streams.sink.fetching import SlimRecords, read_slim_records
from tests.unreadable_names import READ_AS, UNREADABLE, Raw, batch

_FROM = pytest.mark.parametrize("fetched_from", [0, 3])
_KINDS = pytest.mark.parametrize("kind", [LenientRecords, SlimRecords])


def ten(damaged: int | None = None) -> list[Raw]:
    """Ten messages; one of them has a header whose name is not UTF-8."""
    return [
        (b"k", b"v%d" % number, [UNREADABLE if number == damaged else ("name", b"x")])
        for number in range(10)
    ]


@_KINDS
@_FROM
def test_a_header_name_that_is_not_utf8_stops_nothing(
    kind: type[LenientRecords], fetched_from: int
) -> None:
    data = (
        batch(ten())
        + batch(ten(damaged=4), first=10)
        + batch(ten(), first=20, compression=3)
        + batch(ten(damaged=9), first=30, compression=1)
    )
    records = kind(
        TopicPartition("t", 0), KeptMemoryRecords(data), [], fetched_from, None, None, True, 1
    )
    # As aiokafka does, which leaves in the middle and comes back.
    read: list[Record] = []
    while len(read) < 40 - fetched_from:
        read += islice(records, 3)
    assert [record.offset for record in read] == list(range(fetched_from, 40))
    names = {record.offset: record.headers[0][0] for record in read}
    assert {offset: name for offset, name in names.items() if name != "name"} == dict.fromkeys(
        (14, 39), READ_AS
    )
    assert all(record.value == b"v%d" % (record.offset % 10) for record in read)
    assert records.next_fetch_offset == 40


_ONLY = ("-k", test_a_header_name_that_is_not_utf8_stops_nothing.__name__)


def test_the_same_without_c_code() -> None:
    """Where aiokafka's wheel has none."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *_ONLY, __file__],
        env={**os.environ, "AIOKAFKA_NO_EXTENSIONS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "4 passed" in done.stdout, done.stdout


_READS_NO_RECORDS = {"deploy/billing/sink_progress.py"}


def test_whoever_makes_a_consumer_reads_such_names() -> None:
    root = Path(__file__).parents[2]
    without = set()
    for package in ("api", "deploy", "schemas", "streams"):
        for path in (root / package).rglob("*.py"):
            code = path.read_text()
            if re.search(r"\bAIOKafkaConsumer\(|\bfaust\.App\b", code) and not re.search(
                r"^ +read_(lenient|slim)_records\(\)$", code, re.MULTILINE
            ):
                without.add(path.relative_to(root).as_posix())
    assert without == _READS_NO_RECORDS


@pytest.fixture
def restored() -> Iterator[None]:
    before = fetcher.PartitionRecords, fetcher.MemoryRecords
    yield
    fetcher.PartitionRecords, fetcher.MemoryRecords = before


@pytest.mark.usefixtures("restored")
def test_who_reads_slim_records_goes_on_so() -> None:
    read_slim_records()
    read_lenient_records()
    assert fetcher.PartitionRecords is SlimRecords
    read_records_as(LenientRecords)
    read_lenient_records()
    assert fetcher.PartitionRecords is LenientRecords
