"""Ten thousand mutated messages on each topic among good ones: none stops, loses or doubles any."""

import asyncio
import json
from base64 import b64decode
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Final
from uuid import UUID

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from schemas.events import Event
from schemas.limits import MAX_CLOCK_SKEW, MAX_METADATA_BYTES, MAX_METADATA_DEPTH
from schemas.topics import CONVERSIONS, EVENT_TOPICS, PAGE_VIEWS, Topic
from tests.weir import Weir, all_taken

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]

MUTATED: Final = 10_000
GOOD: Final = 5_000
REASONS: Final = {"not_json", "invalid_field", "empty", "wrong_topic", "wrong_key"}
NEARLY_A_MEBIBYTE: Final = 1_048_576 - 300

Key = bytes | None
Value = bytes | None
Message = tuple[Key, Value]


def event(topic: Topic, random: Random) -> dict[str, object]:
    """A valid event of the topic, in one of many forms."""
    fields: dict[str, object] = {
        "event_id": str(UUID(int=random.getrandbits(128), version=4)),
        "event_type": {"page-views": "page_view", "conversions": "conversion"}.get(
            topic.name, random.choice(["signup", "a/b", "custom.event"])
        ),
        "path": random.choice(["/", "/a", "/é/ü", "/" + "x" * random.randrange(300)]),
    }
    optional = (
        ("user_id", f"u-{random.randrange(500)}"),
        ("visitor_id", f"v-{random.randrange(500)}"),
        ("source", "web"),
        ("occurred_at", random.choice(["2026-01-02T03:04:05.678Z", "2026-01-02T05:04:05+02:00"])),
        (
            "metadata",
            {
                "status": random.choice([200, 404, 1_234_567_890_123]),
                "ratio": random.random(),
                "referrer": "https://example.com/?q=ä",
                "nested": [{"a": [1, None, True]}],
            },
        ),
    )
    return fields | {name: value for name, value in optional if random.random() < 0.6}


def keyed(topic: Topic, fields: dict[str, object]) -> Message:
    """The event with the key that it must have."""
    key = fields["event_id"]
    if topic is CONVERSIONS:
        key = fields.get("user_id", key)
    return str(key).encode(), orjson.dumps(fields)


def replaced(topic: Topic, random: Random, **changes: object) -> Message:
    """A valid event's key with fields that are not."""
    fields = event(topic, random)
    key, _ = keyed(topic, fields)
    return key, orjson.dumps(fields | changes)


def written(topic: Topic, random: Random, change: Callable[[bytes], bytes]) -> Message:
    """A valid event's key with its JSON changed."""
    key, value = keyed(topic, event(topic, random))
    return key, change(value or b"")


# Each is invalid by what it does, whatever the event was.


def truncated(topic: Topic, random: Random) -> Message:
    return written(topic, random, lambda value: value[: random.randrange(len(value))])


def retyped(topic: Topic, random: Random) -> Message:
    name = random.choice(["event_type", "path", "user_id", "occurred_at", "source", "event_id"])
    return replaced(topic, random, **{name: random.choice([1, True, 1.5, [], {}, ["x"]])})


def not_an_object(_: Topic, random: Random) -> Message:
    return b"k", random.choice([b"[]", b"1", b'"x"', b"null", b"true", b"[{}]", b"NaN"])


def without(topic: Topic, random: Random) -> Message:
    fields = event(topic, random)
    key, _ = keyed(topic, fields)
    del fields[random.choice(["event_id", "event_type", "path"])]
    return key, orjson.dumps(fields)


def oversized_field(topic: Topic, random: Random) -> Message:
    changes: list[dict[str, object]] = [
        {"path": "x" * 2_049},
        {"visitor_id": "x" * 257},
        {"metadata": {"a": "x" * MAX_METADATA_BYTES}},
    ]
    return replaced(topic, random, **random.choice(changes))


def empty(_: Topic, random: Random) -> Message:
    return b"k", random.choice([b"", b" ", b"\n\n"])


def tombstone(_: Topic, random: Random) -> Message:
    return random.choice([b"k", b"\xff\x00", b""]), None


def wrong_key(topic: Topic, random: Random) -> Message:
    _, value = keyed(topic, event(topic, random))
    return random.choice([None, b"", b"another", b"\xff\xfe", b"0" * 36]), value


def unknown_version(topic: Topic, random: Random) -> Message:
    return replaced(topic, random, version=random.randrange(9))


def unknown_field(topic: Topic, random: Random) -> Message:
    return replaced(topic, random, **{random.choice(["extra", "Path", "event-id", ""]): None})


def deep(topic: Topic, random: Random) -> Message:
    levels = random.choice([MAX_METADATA_DEPTH + 1, 100, 250, 1_500, 20_000])
    nested = b'{"a":' * (levels - 1) + b"{}" + b"}" * (levels - 1)
    fields = event(topic, random)
    fields.pop("metadata", None)
    key, value = keyed(topic, fields)
    return key, (value or b"")[:-1] + b',"metadata":' + nested + b"}"


def deep_cloud_event(topic: Topic, random: Random) -> Message:
    # Between the bounds of those who read it: one of 1,024 levels, others of about 1,000.
    levels = random.choice([100, 250, 900, 980, 1_000, 1_020, 5_000])
    data = b'{"a":' * levels + b"1" + b"}" * levels
    return (
        b"k",
        b'{"specversion":"1.0","id":"1","source":"/","type":"page_view","data":' + data + b"}",
    )


def invalid_utf8(topic: Topic, random: Random) -> Message:
    bad = random.choice([b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xe2\x82"])
    return written(topic, random, lambda value: value.replace(b'"path":"/', b'"path":"/' + bad, 1))


def bad_escape(topic: Topic, random: Random) -> Message:
    bad = random.choice([rb"\x", rb"\ud800", rb"\u12G4", b"\x01"])
    return written(topic, random, lambda value: value.replace(b'"path":"/', b'"path":"/' + bad, 1))


def other_topic(topic: Topic, random: Random) -> Message:
    other = random.choice([each for each in EVENT_TOPICS if each is not topic])
    return keyed(other, event(other, random))


def bad_value(topic: Topic, random: Random) -> Message:
    name, value = random.choice(
        [
            ("event_id", "0192d2ab-0000-7000-8000-0000000000f"),
            ("event_id", ""),
            ("event_type", "no type"),
            ("event_type", ""),
            ("path", ""),
            ("user_id", ""),
            ("occurred_at", "2026-02-30T00:00:00Z"),
            ("occurred_at", "2026-01-01T00:00:00"),
            ("occurred_at", "1969-12-31T23:59:59Z"),
            ("occurred_at", "3000-01-01T00:00:00Z"),
            ("occurred_at", "1764000000"),
            ("metadata", []),
            ("metadata", "x"),
        ]
    )
    return replaced(topic, random, **{name: value})


def garbage(_: Topic, random: Random) -> Message:
    return random.randbytes(8), b"\x00" + random.randbytes(random.randrange(200))


SURELY_INVALID: Final = (
    truncated,
    retyped,
    not_an_object,
    without,
    oversized_field,
    empty,
    tombstone,
    wrong_key,
    unknown_version,
    unknown_field,
    deep,
    deep_cloud_event,
    invalid_utf8,
    bad_escape,
    other_topic,
    bad_value,
    garbage,
)

# These may leave the event valid: whether they do, `is_valid` says.


def flipped(topic: Topic, random: Random) -> Message:
    def flip(value: bytes) -> bytes:
        changed = bytearray(value)
        for _ in range(random.choice([1, 1, 1, 2, 5])):
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
        return bytes(changed)

    return written(topic, random, flip)


def flipped_key(topic: Topic, random: Random) -> Message:
    key, value = keyed(topic, event(topic, random))
    changed = bytearray(key or b"")
    changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed), value


def key_given_twice(topic: Topic, random: Random) -> Message:
    """Of the two the last counts, in every reader of JSON that is used here."""
    second = random.choice(
        [b'"path":"/second"', b'"path":""', b'"event_id":1', b'"source":"x"', b'"metadata":{"a":1}']
    )
    return written(topic, random, lambda value: value[:-1] + b"," + second + b"}")


def beyond_a_double(topic: Topic, random: Random) -> Message:
    """JSON has no bound on numbers; whatever the neighbours are, such metadata is kept."""
    number = random.choice([b"1e999", b"-1E+400", b"9" * 400, b"9" * 5_000, b"1e-999"])
    fields = event(topic, random)
    fields.pop("metadata", None)
    key, value = keyed(topic, fields)
    return key, (value or b"")[:-1] + b',"metadata":{"a":' + number + b"}}"


def spaced(topic: Topic, random: Random) -> Message:
    return written(topic, random, lambda value: b" \n" + value.replace(b":", b" :\t") + b" ")


MAY_BE_VALID: Final = (
    flipped,
    flipped,
    flipped,
    flipped_key,
    key_given_twice,
    spaced,
    beyond_a_double,
)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def is_valid(topic: Topic, key: Key, value: bytes) -> bool:
    """By the published model and the documented rule of keys, not by the sink's own readers."""
    try:
        # pydantic takes NaN.
        json.loads(value.decode(), parse_constant=_refuse)
        parsed = Event.model_validate_json(value)
    except (ValueError, RecursionError):
        return False
    late = datetime.now(UTC) + MAX_CLOCK_SKEW
    if parsed.occurred_at is not None and parsed.occurred_at > late + timedelta(hours=1):
        return False
    name = {"page_view": "page-views", "conversion": "conversions"}.get(
        parsed.event_type, "custom-events"
    )
    required = str(parsed.event_id)
    if topic is CONVERSIONS and parsed.user_id is not None:
        required = parsed.user_id
    return name == topic.name and key == required.encode()


def event_id_of(value: bytes) -> str:
    document = json.loads(value, parse_int=str)
    return str(UUID(document["event_id"]))


@dataclass
class Written:
    """What lies on a topic, and what must come of it."""

    messages: list[Message] = field(default_factory=list)
    good: set[str] = field(default_factory=set)
    bad: Counter[tuple[bytes, bytes]] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, key: Key, value: Value, *, valid: bool) -> None:
        self.messages.append((key, value))
        if valid:
            self.good.add(event_id_of(value or b""))
        else:
            self.bad[key or b"", value or b""] += 1


def messages(topic: Topic, random: Random) -> Written:
    found = Written()
    for number in range(MUTATED):
        mutate = random.choice(SURELY_INVALID + MAY_BE_VALID)
        key, value = mutate(topic, random)
        valid = mutate is beyond_a_double or (
            mutate in MAY_BE_VALID and is_valid(topic, key, value or b"")
        )
        found.kinds[f"{mutate.__name__} {'valid' if valid else 'invalid'}"] += 1
        found.add(key, value, valid=valid)
        if number % 2:
            found.add(*keyed(topic, event(topic, random)), valid=True)
    for letter in (b"x", b"\x01", b"\xff"):
        found.add(b"large", letter * NEARLY_A_MEBIBYTE, valid=False)
    random.shuffle(found.messages)
    return found


async def write(weir: Weir, topic: Topic, lying: Written) -> None:
    producer = AIOKafkaProducer(
        **weir.kafka.client_arguments(),
        max_request_size=2_097_152,
        enable_idempotence=True,
        linger_ms=5,
    )
    await producer.start()
    try:
        name = weir.topic(topic.name)
        sent = [await producer.send(name, key=key, value=value) for key, value in lying.messages]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


def original(key: str, payload: str, encoding: str) -> tuple[bytes, bytes]:
    if encoding == "base64":
        return b64decode(key), b64decode(payload)
    return key.encode(), payload.encode()


@pytest.mark.parametrize("topic", EVENT_TOPICS, ids=lambda topic: topic.name)
async def test_each_mutated_message_is_one_dead_letter_and_every_good_one_is_counted(
    weir: Weir, topic: Topic
) -> None:
    lying = messages(topic, Random(f"mutated {topic.name}"))
    # The mutations are what they are meant to be: each kind is there, flips went both ways.
    assert {kind.partition(" ")[0] for kind in lying.kinds} == {
        each.__name__ for each in SURELY_INVALID + MAY_BE_VALID
    }
    assert min(lying.kinds["flipped valid"], lying.kinds["flipped invalid"]) > 50
    sink = weir.start_sink()
    await write(weir, topic, lying)
    await weir.eventually(partial(all_taken, weir), within=120, process=sink)

    counted = weir.query("SELECT toString(event_id) FROM events")
    assert len(counted) == len(lying.good)
    assert {event_id for (event_id,) in counted} == lying.good
    letters = weir.query(
        "SELECT topic, partition, offset, reason, detail, key, payload, encoding FROM dead_letters"
    )
    assert {row[3] for row in letters} == REASONS
    assert all(row[4] for row in letters)
    assert len({row[:3] for row in letters}) == len(letters)
    found = Counter(original(*row[5:]) for row in letters)
    assert found == lying.bad
    assert sink.running


def test_the_oracle_knows_a_good_event_from_a_bad_one() -> None:
    random = Random(1)
    key, value = keyed(PAGE_VIEWS, event(PAGE_VIEWS, random))
    assert is_valid(PAGE_VIEWS, key, value or b"")
    assert not is_valid(PAGE_VIEWS, b"another", value or b"")
    assert not is_valid(CONVERSIONS, key, value or b"")
    for mutate in SURELY_INVALID:
        for _ in range(20):
            key, value = mutate(PAGE_VIEWS, random)
            if mutate not in {oversized_field, deep, deep_cloud_event, bad_value}:
                assert not is_valid(PAGE_VIEWS, key, value or b""), mutate
