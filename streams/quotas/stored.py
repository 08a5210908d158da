"""What lies in the table of accounts: keys and values as bytes, behind the place that made them."""

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final
from uuid import UUID

from streams.group.places import PLACE_SIZE, Place
from streams.quotas.account import Account, Remembered
from streams.quotas.encoding import (
    decode_account,
    decode_remembered,
    encode_account,
    encode_remembered,
)

_KEPT_UNTIL: Final = Struct(">q")
_SIZE: Final = Struct(">I")
_ENTRY: Final = Struct(">qI")
_ID_SIZE: Final = 16


def account_key(user_id: str) -> bytes:
    return user_id.encode()


def remembered_prefix(user_key: bytes) -> bytes:
    """With what the keys begin under which a user's commands are remembered."""
    # No user's id holds a zero byte.
    return user_key + b"\x00"


def remembered_key(user_key: bytes, command_id: UUID) -> bytes:
    return remembered_prefix(user_key) + command_id.bytes


def is_remembered(key: bytes) -> bool:
    """Whether it is the key of a remembered command, not of an account."""
    return len(key) > _ID_SIZE and key[-_ID_SIZE - 1 : -_ID_SIZE] == b"\x00"


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
    return b"".join((place.head(), _SIZE.pack(len(body)), body, *outbox))


def read_account(value: bytes) -> Account:
    (size,) = _SIZE.unpack_from(value, PLACE_SIZE)
    begin = PLACE_SIZE + _SIZE.size
    return decode_account(value[begin : begin + size])


def outbox_of(value: bytes) -> dict[int, bytes]:
    """The bodies of an account's outcomes, by their offsets."""
    (size,) = _SIZE.unpack_from(value, PLACE_SIZE)
    at = PLACE_SIZE + _SIZE.size + size
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
            place.head(),
            _KEPT_UNTIL.pack(kept_until),
            encode_remembered(remembered),
        )
    )


def kept_until(key: bytes, value: bytes) -> int | None:
    """Until when a remembered command is kept, in epoch milliseconds; None: it is an account."""
    if not is_remembered(key):
        return None
    return remembered_until(value)


def remembered_until(value: bytes) -> int:
    """Until when a remembered command is kept, in epoch milliseconds of the log's time."""
    (until,) = _KEPT_UNTIL.unpack_from(value, PLACE_SIZE)
    return int(until)


def read_remembered(value: bytes) -> Remembered:
    return decode_remembered(value[PLACE_SIZE + _KEPT_UNTIL.size :])
