"""Records are read whatever their headers' names are."""

from itertools import islice

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition

from streams.sink.fetching import SlimRecords
from streams.sink.lenient_records import KeptMemoryRecords


def batch(first: int, *, compression: int, damaged: int | None = None) -> bytes:
    """Ten records from an offset; the header of one of them has a name that is not UTF-8."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=compression,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=100_000,
    )
    for number in range(10):
        name = "AAAA" if number == damaged else "name"
        builder.append(number, timestamp=1, key=b"k", value=b"v%d" % number, headers=[(name, b"x")])
    data = bytearray(builder.build())
    # The base offset stands first, and is not part of what the checksum covers.
    data[0:8] = first.to_bytes(8, "big")
    if damaged is not None:
        at = data.index(b"AAAA")
        data[at : at + 2] = b"\xff\xfe"
    return bytes(data)


@pytest.mark.parametrize("fetched_from", [0, 3])
def test_a_header_name_that_is_not_utf8_stops_nothing(fetched_from: int) -> None:
    data = (
        batch(0, compression=0)
        + batch(10, compression=0, damaged=4)
        + batch(20, compression=3)
        + batch(30, compression=0, damaged=9)
    )
    records = SlimRecords(
        TopicPartition("t", 0), KeptMemoryRecords(data), [], fetched_from, None, None, False, 1
    )
    # As aiokafka does, which leaves in the middle and comes back.
    read = [record for _ in range(40) for record in islice(records, 3)]
    assert [record.offset for record in read] == list(range(fetched_from, 40))
    names = {record.offset: record.headers[0][0] for record in read}
    assert {offset: name for offset, name in names.items() if name != "name"} == {
        offset: r"\xff\xfeAA" for offset in (14, 39) if offset >= fetched_from
    }
    assert all(record.value == b"v%d" % (record.offset % 10) for record in read)
    assert records.next_fetch_offset == 40
