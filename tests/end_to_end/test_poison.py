"""A bad message stops nothing and is not lost."""

from base64 import b64decode
from functools import partial
from uuid import uuid4

import orjson
import pytest

from tests.unreadable_names import READ_AS, UNREADABLE, send_together
from tests.weir import Weir, all_taken

pytestmark = pytest.mark.services


def event(event_type: str, **fields: object) -> tuple[bytes, bytes]:
    event_id = str(uuid4())
    document = {"event_id": event_id, "event_type": event_type, "path": "/good", **fields}
    return event_id.encode(), orjson.dumps(document)


async def test_each_poison_is_kept_with_its_place_and_reason_and_its_neighbours_are_counted(
    weir: Weir,
) -> None:
    key, good = event("page_view")
    poison: dict[str, tuple[bytes | None, bytes | None, str]] = {
        "truncated": (key, good[:-5], "not_json"),
        "bytes": (b"\xff\xfe", b"\x00\xff\x80", "not_json"),
        "tombstone": (b"gone", None, "empty"),
        "other topic": (*event("conversion"), "wrong_topic"),
        "other key": (b"another", event("page_view")[1], "wrong_key"),
        "unknown field": (*event("page_view", version=9), "invalid_field"),
        "far future": (*event("page_view", occurred_at="3000-01-01T00:00:00Z"), "invalid_field"),
        "large": (b"large", b"x" * 900_000, "not_json"),
        "control characters": (b"control", b"\x01" * 5_000, "not_json"),
    }
    messages: list[tuple[bytes | None, bytes | None]] = []
    for message_key, value, _ in poison.values():
        messages += [event("page_view"), (message_key, value), event("page_view")]
    await weir.produce("page-views", messages)
    sink = weir.start_sink()
    await weir.eventually(partial(all_taken, weir), process=sink)

    [(counted,)] = weir.query(
        "SELECT sum(count) FROM event_counts"
        " WHERE dimension = 'path' AND unit = 3600 AND value = '/good'"
    )
    assert counted == 2 * len(poison)
    letters = weir.query(
        "SELECT topic, partition, offset, reason, detail, key, payload, encoding FROM dead_letters"
    )
    found = []
    for topic, _, _, reason, detail, letter_key, payload, encoding in letters:
        assert topic == weir.topic("page-views")
        assert detail
        decode = b64decode if encoding == "base64" else str.encode
        found.append((decode(letter_key), decode(payload), reason))
    expected = [(key or b"", value or b"", reason) for key, value, reason in poison.values()]
    assert sorted(found) == sorted(expected)
    assert len({row[:3] for row in letters}) == len(poison)


async def test_a_header_name_that_is_not_utf8_stops_nothing(weir: Weir) -> None:
    events = [event("page_view") for _ in range(3)]
    messages = [
        (*events[0], []),
        (*events[1], [UNREADABLE]),
        (b"key", b"{", [UNREADABLE]),
        (*events[2], []),
    ]
    await send_together(weir.kafka, weir.topic("page-views"), 0, messages)
    sink = weir.start_sink()
    await weir.eventually(partial(all_taken, weir), process=sink)
    stored = weir.query("SELECT toString(event_id) FROM events")
    assert sorted(stored) == sorted((key.decode(),) for key, _ in events)
    [(reason, headers)] = weir.query("SELECT reason, headers FROM dead_letters")
    assert (reason, orjson.loads(headers)) == ("not_json", [[READ_AS, "of a producer in C"]])


async def test_garbage_among_the_dead_letters_does_not_go_round_for_ever(weir: Weir) -> None:
    await weir.produce("dead-letters", [(b"garbage", b"{}")])
    sink = weir.start_sink()
    await weir.eventually(partial(all_taken, weir), process=sink)
    letters = weir.query("SELECT topic, reason FROM dead_letters")
    assert letters == [(weir.topic("dead-letters"), "invalid_field")]
