"""Asks ClickHouse what was stored since: the newest events, how many, and where they end."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson
from fastapi.sse import format_sse_event

from api.analytics.filters import Bots, Filters, of_key
from api.analytics.positions import (
    LOOK_BACK_MS,
    Message,
    Partition,
    Position,
    parse_position,
    positions_along,
)
from api.analytics.rows import COLUMNS, document_of, stored_event
from api.clickhouse import ClickHouseReader, Row

MOST_TOLD: Final = 200
"""So many events of one answer are told to a watcher, the newest."""
_MOST_ROWS: Final = 1_000
_MANY: Final = 20_000
"""Of more events only the newest are looked at, whatever their type: all columns are read."""

# From the number of rows of each part: it costs nothing, however much is stored.
COUNT: Final = "SELECT count() FROM events"
# What lies behind the position `start`, of its window: asked for rows that a PREWHERE has found
# there. In one condition with it this would be looked at in every row of each part that has one
# arrival in the window, and such a part may hold months.
_FRESH: Final = """NOT arrayExists(
    told -> told.1 = topic AND told.2 = partition AND (incarnation, offset) <= (told.3, told.4),
    {start_told:Array(Tuple(String, UInt16, UInt32, UInt64))}
  )"""
# What does not lie behind the position `end`.
_TOLD: Final = f"""NOT (
    received_at >= fromUnixTimestamp64Milli({{end_since:Int64}})
    AND {_FRESH.replace("{start_", "{end_")}
  )"""
# The window does not begin in the future, where the broker's clock was before it was set back.
END: Final = """
SELECT topic, partition, max((incarnation, offset)), toUnixTimestamp64Milli(max(received_at))
FROM events
WHERE received_at >= least(
    (SELECT max(received_at) FROM events), fromUnixTimestamp64Milli({now:Int64})
  ) - toIntervalMillisecond({look_back:UInt32})
GROUP BY topic, partition
"""
COUNTS: Final = """
SELECT
    topic, partition, event_type, bot,
    max((incarnation, offset)), toUnixTimestamp64Milli(max(received_at)), count()
FROM events
PREWHERE received_at >= fromUnixTimestamp64Milli({start_since:Int64})
WHERE %s
GROUP BY topic, partition, event_type, bot
"""
# The newest first, by arrival; the rest is the order of the log. Of each type its own newest, so
# that many of one type do not hide the few of another from who watches those.
ROWS: Final = """
SELECT %s
FROM events
PREWHERE received_at >= fromUnixTimestamp64Milli({start_since:Int64})
WHERE %s
ORDER BY received_at DESC, topic DESC, partition DESC, incarnation DESC, offset DESC
LIMIT {most:UInt32} BY event_type, bot
LIMIT {rows:UInt32}
"""
# The same order.
NEWEST: Final = """
SELECT %s
FROM events
PREWHERE received_at >= fromUnixTimestamp64Milli({since:Int64})
WHERE %s
ORDER BY received_at DESC, topic DESC, partition DESC, incarnation DESC, offset DESC
LIMIT {limit:UInt32}
"""
_SECOND_MS: Final = 1_000
_DAY_MS: Final = 86_400 * _SECOND_MS
SPANS_MS: Final = (10 * _SECOND_MS, 600 * _SECOND_MS, _DAY_MS)
"""The newest are looked for in so much before the very newest, until there are enough. All of the
last is read for a type that is not there, each time that somebody connects."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events a watcher is told: by what the counts are kept by."""

    event_type: str | None = None
    bots: Bots = "include"

    def takes(self, event_type: str, bot: bool) -> bool:  # noqa: FBT001
        return self.event_type in {None, event_type} and (
            self.bots == "include" or bot == (self.bots == "only")
        )


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """An event as it goes over the wire, once for all watchers."""

    event_type: str
    bot: bool
    frame: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """What lies between two positions: how many events of each (type, bot), and the newest.

    Of those there are at most MOST_TOLD of each (type, bot); the oldest first.
    """

    events: Sequence[LiveEvent]
    counts: Mapping[tuple[str, bool], int]
    end: Position

    def told_to(self, wanted: Wanted) -> tuple[int, list[LiveEvent]]:
        """What a watcher is told: the newest of its events, and how many are left out."""
        events = [each for each in self.events if wanted.takes(each.event_type, each.bot)]
        events = events[-MOST_TOLD:]
        count = sum(count for kind, count in self.counts.items() if wanted.takes(*kind))
        return max(0, count - len(events)), events


class StoredEvents:
    """The questions. Each raises a 503 Problem when ClickHouse cannot answer now."""

    def __init__(
        self,
        clickhouse: ClickHouseReader,
        clock: Callable[[], datetime],
        topics: Collection[str],
    ) -> None:
        """`topics`: those of the events, by their names on the cluster."""
        self._clickhouse = clickhouse
        self._clock = clock
        self._topics = topics

    def position(self, text: str) -> Position | None:
        """The position that a client sends back, as `parse_position` has it."""
        return parse_position(text, self._topics)

    async def count(self) -> int:
        """How many events there are: another number when something was stored."""
        return int(str((await self._clickhouse.ask(COUNT))[0][0]))

    async def end(self) -> Position:
        """The position behind all that is stored."""
        now_ms = self._now_ms()
        rows = await self._clickhouse.ask(END, {"look_back": LOOK_BACK_MS, "now": now_ms})
        return Position(0, {}).advanced(
            [
                ((str(topic), int(str(partition))), _message(last, received_ms))
                for topic, partition, last, received_ms in rows
            ],
            now_ms,
        )

    async def since(self, start: Position, end: Position | None = None) -> Batch:
        """What lies behind `start`; up to `end`, or else all that is stored."""
        counts, behind = await self._counts(start, end)
        if not counts:
            return Batch((), {}, behind)
        rows: Sequence[Row] = ()
        for since_ms in _beginnings(start, behind, sum(counts.values())):
            rows = await self._clickhouse.ask(
                ROWS % (COLUMNS, f"{_FRESH} AND {_TOLD}"),
                {
                    **start.parameters("start"),
                    **behind.parameters("end"),
                    # The greater of the bounds.
                    "start_since": since_ms,
                    "most": MOST_TOLD,
                    "rows": _MOST_ROWS,
                },
            )
            if len(rows) >= MOST_TOLD:
                break
        rows = rows[::-1]
        places = positions_along(start, behind, rows)
        events = [live_event(row, place.text()) for row, place in zip(rows, places, strict=True)]
        return Batch(events, counts, behind)

    async def newest(self, end: Position, limit: int, wanted: Wanted) -> list[LiveEvent]:
        """The newest before `end`, oldest first; only the last has an id, which is that of `end`.

        Looked for in the last of SPANS_MS at most.
        """
        condition = of_key(Filters(event_type=wanted.event_type, bots=wanted.bots))
        rows: list[Row] = []
        for span_ms in SPANS_MS if limit else ():
            rows = await self._clickhouse.ask(
                NEWEST % (COLUMNS, _TOLD + condition.sql),
                {
                    **condition.parameters,
                    **end.parameters("end"),
                    "since": max(0, end.newest_ms - span_ms),
                    "limit": limit,
                },
            )
            if len(rows) == limit:
                break
        return [
            live_event(row, end.text() if number == 0 else None) for number, row in enumerate(rows)
        ][::-1]

    async def _counts(
        self, start: Position, end: Position | None
    ) -> tuple[dict[tuple[str, bool], int], Position]:
        rows = await self._clickhouse.ask(
            COUNTS % (_FRESH if end is None else f"{_FRESH} AND {_TOLD}"),
            {**start.parameters("start"), **({} if end is None else end.parameters("end"))},
        )
        counts: Counter[tuple[str, bool]] = Counter()
        last: list[tuple[Partition, Message]] = []
        for topic, partition, event_type, bot, message, received_ms, count in rows:
            counts[str(event_type), bool(bot)] += int(str(count))
            last.append(((str(topic), int(str(partition))), _message(message, received_ms)))
        return dict(counts), end or start.advanced(last, self._now_ms())

    def _now_ms(self) -> int:
        return int(self._clock().timestamp() * 1000)


def _beginnings(start: Position, end: Position, count: int) -> list[int]:
    """From when on (epoch ms) rows are looked for, one after the other until there are enough."""
    if count <= _MANY:
        return [start.since_ms]
    return [max(start.since_ms, end.newest_ms - span_ms) for span_ms in SPANS_MS]


def live_event(row: Row, identity: str | None) -> LiveEvent:
    """The event of a row of the list, as a server-sent event with that id."""
    event = stored_event(row)
    data = orjson.dumps(document_of(event)).decode()
    return LiveEvent(
        str(event["event_type"]),
        bool(event["bot"]),
        format_sse_event(event="event", data_str=data, id=identity),
    )


def _message(place: object, received_ms: object) -> Message:
    if not isinstance(place, tuple):
        raise TypeError(f"not the incarnation and offset of a message: {place!r}")
    incarnation, offset = place
    return Message(int(incarnation), int(offset), int(str(received_ms)))
