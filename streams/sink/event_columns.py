"""Events by the hundred: checked column by column, as the interpreter does it fastest.

What must hold of each event is what `schemas.decoding` and the loop over single events say; here
it is asked of whole columns at once, and a chunk in which anything is unusual is left to them.
1.9 µs an event against 3.9 (measured), which is what lets the sink keep up with ClickHouse.
"""

from collections.abc import Sequence
from datetime import date
from itertools import repeat
from typing import Final

import msgspec

from schemas.decoding import (
    SURELY_SMALL_METADATA,
    WireEvent,
    canonical_metadata,
    decode_wire_event,
    is_canonical_event_type,
)
from schemas.limits import MAX_METADATA_DEPTH
from schemas.topics import CONVERSIONS, Topic, topic_for
from streams.records import Record
from streams.sink.records import Made, Source
from streams.sink.visits import columns_of

_UUID: Final = 36
_UUID_HYPHENS: Final = (8, 13, 18, 23)
_TIME: Final = 24
_TIME_MARKS: Final = ((4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":"), (19, "."), (23, "Z"))
_MARKS: Final = b"-T:.Z"


def rows_of_usual_events(
    topic: Topic, source: Source, records: Sequence[Record], latest: str
) -> Made | None:
    """The rows when every event is in canonical form and in its place, else None.

    `latest` is the last canonical `occurred_at` that any of them may carry.
    """
    try:
        events = [decode_wire_event(record.value or b"") for record in records]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # msgspec raises the last for what is nested a thousand deep.
        return None
    event_ids = [event.event_id or "" for event in events]
    times = [event.occurred_at or "" for event in events]
    ids = uuids(event_ids)
    if (
        ids is None
        or not _are_canonical_times(times, latest)
        or not _belong(topic, {event.event_type for event in events})
        or [record.key for record in records] != _keys(topic, event_ids, events)
    ):
        return None
    metadata = _metadata(events)
    if metadata is None:
        return None
    rows = zip(
        event_ids,
        [event.event_type for event in events],
        [event.path for event in events],
        [event.user_id or "" for event in events],
        [event.visitor_id or "" for event in events],
        [event.source or "" for event in events],
        times,
        [record.timestamp / 1000 for record in records],
        metadata,
        *columns_of(metadata),
        repeat(source.partition.topic),
        repeat(source.partition.partition),
        repeat(source.incarnation),
        [record.offset for record in records],
        strict=False,
    )
    return Made(ids, list(rows), [])


def uuids(texts: Sequence[str]) -> list[bytes] | None:
    """The 16 bytes of each text when all are canonical UUIDs, else None."""
    joined = "".join(texts)
    count = len(texts)
    if set(map(len, texts)) != {_UUID} or joined != joined.lower():
        return None
    for place in _UUID_HYPHENS:
        if joined[place::_UUID] != "-" * count:
            return None
    try:
        data = bytes.fromhex(joined.replace("-", ""))
    except ValueError:
        return None
    if len(data) != 16 * count:
        return None
    return [data[start : start + 16] for start in range(0, len(data), 16)]


def _are_canonical_times(texts: Sequence[str], latest: str) -> bool:
    if set(map(len, texts)) != {_TIME} or min(texts) < "1970" or max(texts) > latest:
        return False
    joined = "".join(texts)
    count = len(texts)
    for place, mark in _TIME_MARKS:
        if joined[place::_TIME] != mark * count:
            return False
    digits = joined.encode().translate(None, _MARKS)
    if len(digits) != (_TIME - len(_TIME_MARKS)) * count or not digits.isdigit():
        return False
    # Of clock times the digits say it, of days only the calendar: and they are few.
    if (
        max(joined[14::_TIME]) > "5"
        or max(joined[17::_TIME]) > "5"
        or max([text[11:13] for text in texts]) > "23"
    ):
        return False
    try:
        for day in {text[:10] for text in texts}:
            date.fromisoformat(day)
    except ValueError:
        return False
    return True


def _metadata(events: Sequence[WireEvent]) -> Sequence[str] | None:
    try:
        texts = [str(event.metadata, "utf-8") for event in events]
    except UnicodeDecodeError:
        return None
    if {text[0] for text in texts} != {"{"} or max(map(len, texts)) > SURELY_SMALL_METADATA:
        return None
    # Each has at least one opening: when all together have few more, none can be nested deep.
    joined = "".join(texts)
    if joined.count("{") + joined.count("[") < len(texts) + MAX_METADATA_DEPTH:
        return texts
    if any(canonical_metadata(event.metadata) is None for event in events):
        return None
    return texts


def _belong(topic: Topic, event_types: set[str]) -> bool:
    return all(topic_for(each) is topic and is_canonical_event_type(each) for each in event_types)


def _keys(topic: Topic, event_ids: Sequence[str], events: Sequence[WireEvent]) -> list[bytes]:
    if topic is CONVERSIONS:
        return [
            (event.user_id or event_id).encode()
            for event_id, event in zip(event_ids, events, strict=True)
        ]
    # UUIDs hold no line breaks.
    return "\n".join(event_ids).encode().split(b"\n")
