"""Dead letters as they are stored: where one lies, all of it, and what was done about it."""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, cast
from uuid import UUID

import orjson
from pydantic import BaseModel, Field

from api.clickhouse import ClickHouseReader, Row
from api.cursors import Cursor
from api.dead_letters.filters import State
from api.dead_letters.pages import Found
from schemas.dead_letters import MAX_PAYLOAD, Action
from schemas.decoding import canonical_time

PLACES: Final = """
SELECT
    toString(dead_letter_id), length(payload), toUnixTimestamp64Milli(received_at),
    letter_topic, letter_partition, letter_incarnation, letter_offset
FROM dead_letters
"""

# By the key's first column too, which finds them where the index of ids alone would read more.
AT: Final = """
WHERE received_at IN {received:Array(DateTime64(3, 'UTC'))}
  AND dead_letter_id IN {ids:Array(UUID)}
LIMIT 1 BY dead_letter_id
"""

LETTERS: Final = """
SELECT
    toString(dead_letter_id), topic, partition, offset, toUnixTimestamp64Milli(arrived_at),
    reason, detail, key, payload, encoding, headers, truncated
FROM dead_letters
"""

ACTIONS: Final = """
SELECT
    toString(dead_letter_id), action, toUnixTimestamp64Milli(acted_at), toString(event_id)
FROM dead_letter_actions
WHERE dead_letter_id IN {ids:Array(UUID)}
ORDER BY dead_letter_id, action = 'replayed' DESC, received_at
LIMIT 1 BY dead_letter_id
"""

Headers = list[tuple[str, str | None]]


class DeadLetterSummary(BaseModel):
    """A dead letter: where the message lay, why it could not be used, what was done about it."""

    dead_letter_id: UUID
    topic: Annotated[str, Field(description="Where the message lay; its name on the cluster.")]
    partition: int
    offset: int
    arrived_at: Annotated[datetime, Field(description="When the message arrived at Kafka.")]
    reason: Annotated[str, Field(examples=["invalid_field"])]
    detail: str
    key: Annotated[str | None, Field(description="Null when there was none, or an empty one.")]
    payload: Annotated[
        str | None,
        Field(description="The message's value; null when there was none, or an empty one."),
    ]
    encoding: Annotated[
        Literal["utf-8", "base64"],
        Field(description="How key, payload and the headers' values are written here."),
    ]
    payload_truncated: Annotated[
        bool, Field(description="Whether only the beginning of the payload stands here.")
    ]
    truncated: Annotated[
        bool,
        Field(
            description="Whether only part of the message's key, value or headers is kept, of "
            "which `detail` says how much; then it cannot be replayed."
        ),
    ]
    state: State
    acted_at: Annotated[
        datetime | None, Field(description="When it was replayed or discarded; null when open.")
    ]
    event_id: Annotated[
        UUID | None, Field(description="The event that a replay published; else null.")
    ]


class DeadLetterDocument(DeadLetterSummary):
    """A dead letter with all that is kept of the message."""

    # No tuple: generators of clients and of tests do not know `prefixItems`.
    headers: Annotated[
        list[Annotated[list[str | None], Field(min_length=2, max_length=2)]],
        Field(description="The message's headers in their order: name and value of each."),
    ]


@dataclass(frozen=True, slots=True)
class Place(Found):
    """Where a letter lies in the table, and how large its payload is in bytes."""

    size: int


@dataclass(frozen=True, slots=True)
class Acted:
    """What was done about a letter, when (epoch ms), and the event that came of it."""

    action: Action
    at_ms: int
    event_id: str | None


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """All of a letter; `arrived_ms` is in epoch milliseconds."""

    dead_letter_id: UUID
    topic: str
    partition: int
    offset: int
    arrived_ms: int
    reason: str
    detail: str
    key: str
    payload: str
    encoding: str
    headers: Headers
    truncated: bool

    def content(self) -> bytes | None:
        """The message's value as it was, None where there was none or an empty one."""
        return self._bytes(self.payload) if self.payload else None

    def header_bytes(self) -> list[tuple[str, bytes | None]]:
        """The message's headers as they were."""
        return [
            (name, None if value is None else self._bytes(value)) for name, value in self.headers
        ]

    def _bytes(self, written: str) -> bytes:
        return b64decode(written) if self.encoding == "base64" else written.encode()


def place_of(row: Row) -> Place:
    """The place that a row of `PLACES` says."""
    return Place(
        UUID(str(row[0])),
        Cursor(_int(row[2]), str(row[3]), _int(row[4]), _int(row[5]), _int(row[6])),
        _int(row[1]),
    )


async def places(clickhouse: ClickHouseReader, ids: Sequence[UUID]) -> dict[UUID, Place]:
    """Where letters lie, those that there are."""
    rows = await clickhouse.ask(
        f"{PLACES} WHERE dead_letter_id IN {{ids:Array(UUID)}}", {"ids": _texts(ids)}
    )
    return {place.dead_letter_id: place for place in map(place_of, rows)}


async def places_of(clickhouse: ClickHouseReader, found: Sequence[Found]) -> dict[UUID, Place]:
    """Where letters lie that were found by their keys."""
    rows = await rows_at(clickhouse, PLACES, found)
    return {place.dead_letter_id: place for place in map(place_of, rows)}


async def letters(clickhouse: ClickHouseReader, at: Sequence[Found]) -> list[StoredLetter]:
    """The letters at these places, in any order."""
    return [_letter(row) for row in await rows_at(clickhouse, LETTERS, at)]


async def rows_at(
    clickhouse: ClickHouseReader,
    select: str,
    at: Sequence[Found],
    bound: Mapping[str, object] | None = None,
) -> list[Row]:
    """What is selected from the table, with what it binds, at these places, in any order."""
    if not at:
        return []
    received = [_text_of(each.key.ms) for each in at]
    ids = _texts([each.dead_letter_id for each in at])
    return await clickhouse.ask(select + AT, {**(bound or {}), "received": received, "ids": ids})


async def acted_on(clickhouse: ClickHouseReader, ids: Sequence[UUID]) -> dict[UUID, Acted]:
    """What was done about letters, those about which anything was."""
    if not ids:
        return {}
    rows = await clickhouse.ask(ACTIONS, {"ids": _texts(ids)})
    return {
        UUID(str(letter)): Acted(
            cast("Action", str(action)), _int(at), None if event is None else str(event)
        )
        for letter, action, at, event in rows
    }


def state_of(acted: Acted | None) -> dict[str, object]:
    """The members of a document that say it."""
    if acted is None:
        return {"state": "open", "acted_at": None, "event_id": None}
    return {
        "state": acted.action,
        "acted_at": moment_text(acted.at_ms),
        "event_id": acted.event_id,
    }


def document(letter: StoredLetter, acted: Acted | None) -> Mapping[str, object]:
    """All of a letter as the API shows it."""
    return {
        "dead_letter_id": str(letter.dead_letter_id),
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "arrived_at": moment_text(letter.arrived_ms),
        "reason": letter.reason,
        "detail": letter.detail,
        "key": letter.key or None,
        "payload": letter.payload or None,
        "encoding": letter.encoding,
        "payload_truncated": letter.truncated and len(letter.content() or b"") >= MAX_PAYLOAD,
        "truncated": letter.truncated,
        **state_of(acted),
        "headers": letter.headers,
    }


def moment_text(ms: int) -> str:
    """RFC 3339 in UTC of epoch milliseconds."""
    return canonical_time(datetime.fromtimestamp(ms / 1000, UTC))


def _letter(row: Row) -> StoredLetter:
    identity, topic, partition, offset, arrived, reason, detail, *kept = row
    key, payload, encoding, headers, truncated = kept
    return StoredLetter(
        UUID(str(identity)),
        str(topic),
        _int(partition),
        _int(offset),
        _int(arrived),
        str(reason),
        str(detail),
        str(key),
        str(payload),
        str(encoding),
        [(name, value) for name, value in orjson.loads(str(headers) or "[]")],
        bool(truncated),
    )


def _texts(ids: Sequence[UUID]) -> list[str]:
    return [str(each) for each in ids]


def _text_of(ms: int) -> str:
    return moment_text(ms).replace("T", " ").removesuffix("Z")


def _int(value: object) -> int:
    return int(str(value))
