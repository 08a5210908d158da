"""Events with everything in them that must not matter: copies, late ones, poison."""

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson

from schemas.topics import CONVERSIONS, PAGE_VIEWS, Topic, event_key
from tests.weir import Json, Weir

UNITS = (900, 3_600, 14_400, 86_400, 345_600, 1_382_400, 5_529_600)
DIMENSIONS = (
    *("path", "referrer", "country", "device", "browser"),
    *("os", "status", "method", "route", "source"),
)
"""What the rollup counts by, in seconds and in columns."""


@dataclass
class Load:
    """Makes messages and remembers what must come of them. Seeded, so a failure comes back."""

    seed: int
    paths: Counter[str] = field(default_factory=Counter)
    poison: int = 0
    visitors: set[str] = field(default_factory=set)
    sent: list[tuple[str, bytes, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._now = datetime.now(UTC)

    @property
    def events(self) -> int:
        return self.paths.total()

    def messages(self, count: int) -> list[tuple[str, bytes, bytes]]:
        """So many messages (topic, key, value): one in ten a copy, one in a hundred poison."""
        return [self._message() for _ in range(count)]

    def _message(self) -> tuple[str, bytes, bytes]:
        dice = self.random.random()
        if dice < 0.01:
            self.poison += 1
            return PAGE_VIEWS.name, b"poison", b'{"broken": %d' % self.poison
        if dice < 0.11 and self.sent:
            return self.random.choice(self.sent)
        message = self._event(CONVERSIONS if dice < 0.3 else PAGE_VIEWS)
        self.sent.append(message)
        return message

    def _event(self, topic: Topic) -> tuple[str, bytes, bytes]:
        event_id = str(UUID(int=self.random.getrandbits(128), version=4))
        path = f"/{topic.name}/{self.random.randrange(40)}"
        user = f"u-{self.random.randrange(30)}"
        # Late by up to three years, so that one batch touches several parts of the rollup.
        occurred = self._now - timedelta(seconds=self.random.randrange(3 * 365 * 86_400))
        value = orjson.dumps(
            {
                "event_id": event_id,
                "event_type": "conversion" if topic is CONVERSIONS else "page_view",
                "path": path,
                "user_id": user,
                "occurred_at": occurred.isoformat(),
            }
        )
        self.paths[path] += 1
        self.visitors.add(user)
        return topic.name, event_key(topic, event_id, user).encode(), value


async def send(weir: Weir, messages: list[tuple[str, bytes, bytes]]) -> None:
    """Writes messages to Kafka in their order."""
    for topic in {topic for topic, _, _ in messages}:
        await weir.produce(topic, [(key, value) for name, key, value in messages if name == topic])


def stored_exactly(weir: Weir, load: Load) -> list[str]:
    """Where the tables differ from what was sent; empty when all is exact."""
    differences = []
    raw = dict(weir.query("SELECT path, count() FROM events GROUP BY path"))
    rolled_up = weir.query(
        "SELECT unit, value, sum(count) FROM event_counts WHERE dimension = 'path'"
        " GROUP BY unit, value"
    )
    rollup = Counter({(unit, path): count for unit, path, count in rolled_up})
    totals = dict(
        weir.query(
            "SELECT (dimension, unit), sum(count) FROM event_counts GROUP BY dimension, unit"
        )
    )
    [(ids, offsets, visitors)] = weir.query(
        "SELECT uniqExact(event_id), uniqExact(topic, partition, incarnation, offset),"
        " uniqExact(user_id)"
        " FROM events"
    )
    rolled_visitors = weir.query(
        "SELECT unit, uniqCombinedMerge(16)(all_visitors) FROM event_counts"
        " GROUP BY unit ORDER BY unit"
    )
    [(letters, letter_ids)] = weir.query(
        "SELECT count(), uniqExact(dead_letter_id) FROM dead_letters"
    )
    [(known, known_ids)] = weir.query("SELECT count(), uniqExact(id) FROM known_ids")
    for name, found, expected in (
        ("raw events by path", raw, dict(load.paths)),
        (
            "rollup by unit and path",
            dict(rollup),
            {(unit, path): count for unit in UNITS[1:] for path, count in load.paths.items()},
        ),
        (
            "rollup by dimension and unit",
            totals,
            {("", 900): load.events}
            | {(name, unit): load.events for name in ("", *DIMENSIONS) for unit in UNITS[1:]},
        ),
        ("distinct event ids", ids, load.events),
        ("distinct offsets", offsets, load.events),
        ("visitors", visitors, len(load.visitors)),
        (
            "visitors of the rollup",
            rolled_visitors,
            [(unit, len(load.visitors)) for unit in UNITS],
        ),
        ("dead letters", (letters, letter_ids), (load.poison, load.poison)),
        ("known ids", (known, known_ids), (load.events + load.poison,) * 2),
    ):
        if found != expected:
            differences.append(f"{name}: {_difference(found, expected)}")
    return differences


def _difference(found: Json, expected: Json) -> str:
    if isinstance(found, dict) and isinstance(expected, dict):
        wrong = {
            key: (found.get(key), expected.get(key))
            for key in found.keys() | expected.keys()
            if found.get(key) != expected.get(key)
        }
        total = (sum(found.values()), sum(expected.values()))
        return (
            f"{len(wrong)} differ, (found, expected) in total {total}, "
            f"such as {list(wrong.items())[:3]}"
        )
    return f"found {found}, expected {expected}"
