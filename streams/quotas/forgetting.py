"""What the table holds of a user whom a command forgets."""

from streams.group.places import Place, place_of
from streams.group.table import range_below
from streams.group.table_lane import Erasure, TableLane
from streams.quotas import stored


def stored_keys(lane: TableLane, user_key: bytes, place: Place) -> list[bytes]:
    """The keys of the account and of what it remembers, as they were when the command came.

    A command that is read again may find what came after it: that is a new account's, and stays.
    """
    keys = (user_key, *lane.keys_below(stored.remembered_prefix(user_key)))
    return [
        key for key in keys if (value := lane.get(key)) is not None and not _is_later(value, place)
    ]


def erasure(user_key: bytes, place: Place) -> Erasure:
    """Of these keys. Between the account's and those of what it remembers there is no other."""
    _, last = range_below(stored.remembered_prefix(user_key))
    return Erasure(place, (user_key, last))


def _is_later(value: bytes, place: Place) -> bool:
    made = place_of(value)
    return made.topic_id == place.topic_id and made.offset > place.offset
