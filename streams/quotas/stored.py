"""What lies in the table: keys and values as bytes, with the place in the log that made them.

A value begins with a format byte, the commands topic's id and the offset of the command that
made it. Of two values under one key the one with the higher offset is the newer, whichever was
written last: a worker that was frozen may write old ones when it wakes up.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final
from uuid import UUID

from streams.quotas.account import Account, Remembered
from streams.quotas.encoding import (
    UnreadableValue,
    decode_account,
    decode_remembered,
    encode_account,
    encode_remembered,
)

_FORMAT: Final = 1
_PLACE: Final = Struct(">B16sq")
_KEPT_UNTIL: Final = Struct(">q")
_SIZE: Final = Struct(">I")
_ENTRY: Final = Struct(">qI")
_ID_SIZE: Final = 16
_DELETES: Final = "deletes"

Put = tuple[bytes, bytes | None]
"""A key and its value; None deletes it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the command lies that made a value: the commands topic's id, and the offset."""

    topic_id: bytes
    offset: int


def account_key(user_id: str) -> bytes:
    return user_id.encode()


def remembered_key(user_key: bytes, command_id: UUID) -> bytes:
    # No user's id holds a zero byte.
    return user_key + b"\x00" + command_id.bytes


def is_remembered(key: bytes) -> bool:
    """Whether it is the key of a remembered command, not of an account."""
    return len(key) > _ID_SIZE and key[-_ID_SIZE - 1 : -_ID_SIZE] == b"\x00"


def place_of(value: bytes) -> Place:
    """Which command made a value, or a deletion. Raises UnreadableValue."""
    if len(value) < _PLACE.size or value[0] != _FORMAT:
        raise UnreadableValue(
            "the table of accounts holds values of another release of Weir; run the newer one"
        )
    _, topic_id, offset = _PLACE.unpack_from(value)
    return Place(topic_id, offset)


def deletion_header(value: bytes) -> tuple[str, bytes]:
    """The header of a deletion of this value: what is newer stays."""
    return _DELETES, value[: _PLACE.size]


def deleted_place(headers: Iterable[tuple[str, bytes | None]]) -> bytes | None:
    """The place up to which a deletion deletes, None: whatever there is."""
    return next((value for name, value in headers if name == _DELETES), None)


def is_older(value: bytes, than: bytes, topic_id: bytes) -> bool:
    """Whether a value was made before another under the same key.

    `topic_id`: of the commands topic that is read now; what an earlier topic made is older.
    """
    one, other = place_of(value), place_of(than)
    if one.topic_id == other.topic_id:
        return one.offset < other.offset
    return other.topic_id == topic_id


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command led to, until all of it is known to be on Kafka.

    `decision`: as JSON. `remembered`: the entries that were written beside the account.
    """

    offset: int
    decision: bytes
    remembered: tuple[tuple[bytes, bytes], ...] = ()

    def encoded(self) -> bytes:
        parts = [_SIZE.pack(len(self.decision)), self.decision]
        for key, value in self.remembered:
            parts += (_SIZE.pack(len(key)), key, _SIZE.pack(len(value)), value)
        body = b"".join(parts)
        return _ENTRY.pack(self.offset, len(body)) + body

    @classmethod
    def decode(cls, offset: int, body: bytes) -> "Outcome":
        texts = []
        at = 0
        while at < len(body):
            (size,) = _SIZE.unpack_from(body, at)
            at += _SIZE.size
            texts.append(body[at : at + size])
            at += size
        decision, *rest = texts
        return cls(offset, decision, tuple(zip(rest[::2], rest[1::2], strict=True)))


def account_value(place: Place, account: Account, outbox: Sequence[bytes]) -> bytes:
    """`outbox`: encoded outcomes of the user's commands that may not be on Kafka yet."""
    body = encode_account(account)
    head = _PLACE.pack(_FORMAT, place.topic_id, place.offset)
    return b"".join((head, _SIZE.pack(len(body)), body, *outbox))


def read_account(value: bytes) -> Account:
    (size,) = _SIZE.unpack_from(value, _PLACE.size)
    begin = _PLACE.size + _SIZE.size
    return decode_account(value[begin : begin + size])


def outbox_of(value: bytes) -> dict[int, bytes]:
    """The bodies of an account's outcomes, by their offsets."""
    (size,) = _SIZE.unpack_from(value, _PLACE.size)
    at = _PLACE.size + _SIZE.size + size
    found = {}
    while at < len(value):
        offset, size = _ENTRY.unpack_from(value, at)
        at += _ENTRY.size
        found[offset] = value[at : at + size]
        at += size
    return found


def remembered_value(place: Place, remembered: Remembered, kept_until: int) -> bytes:
    """`kept_until`: epoch milliseconds, by the time of the log."""
    return b"".join(
        (
            _PLACE.pack(_FORMAT, place.topic_id, place.offset),
            _KEPT_UNTIL.pack(kept_until),
            encode_remembered(remembered),
        )
    )


def kept_until(value: bytes) -> int:
    """Until when a remembered command is kept, in epoch milliseconds of the log's time."""
    (until,) = _KEPT_UNTIL.unpack_from(value, _PLACE.size)
    return int(until)


def read_remembered(value: bytes) -> Remembered:
    return decode_remembered(value[_PLACE.size + _KEPT_UNTIL.size :])
