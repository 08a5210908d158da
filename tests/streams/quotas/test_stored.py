"""What lies in the table under which key, and which of two values is the newer."""

from uuid import UUID, uuid4

import pytest

from streams.group.places import (
    Place,
    UnreadableValue,
    deleted_place,
    deletion_header,
    is_older,
    place_of,
)
from streams.quotas.stored import Outcome, account_key, is_remembered, outbox_of, remembered_key
from tests.streams.quotas.values import NOW_TOPIC, account_at, remembered_at

OLD_TOPIC = UUID(int=1).bytes


def test_an_account_says_which_command_made_it_and_what_may_not_be_on_kafka_yet() -> None:
    outcomes = [Outcome(7, b"{7}", ((b"key", b"value"),)), Outcome(9, b"{9}")]
    value = account_at(9, outbox=[each.encoded() for each in outcomes])
    assert place_of(value) == Place(NOW_TOPIC, 9)
    bodies = outbox_of(value)
    assert [Outcome.decode(offset, body) for offset, body in bodies.items()] == outcomes


@pytest.mark.parametrize(
    ("value", "than", "older"),
    [
        (account_at(4), account_at(5), True),
        (account_at(5), account_at(5), False),
        (account_at(6), account_at(5), False),
        # Of a topic that was there before, whatever the offset.
        (account_at(900, OLD_TOPIC), account_at(1), True),
        (account_at(1), account_at(900, OLD_TOPIC), False),
    ],
    ids=["before", "the same", "after", "of an older topic", "of a newer topic"],
)
def test_the_value_of_the_later_command_is_the_newer(
    value: bytes, than: bytes, older: object
) -> None:
    assert is_older(value, than, NOW_TOPIC) is older


def test_a_deletion_deletes_what_it_was_meant_for_and_nothing_newer() -> None:
    header = deletion_header(remembered_at(5))
    place = deleted_place([("other", b"x"), header])
    assert place is not None
    assert is_older(place, remembered_at(6), NOW_TOPIC)
    assert not is_older(place, remembered_at(5), NOW_TOPIC)
    assert deleted_place([("other", b"x")]) is None


def test_keys_of_commands_are_told_from_keys_of_accounts() -> None:
    for user in ("a", "x" * 256, "\N{EURO SIGN}" * 256, "seventeen letters"):
        key = account_key(user)
        assert not is_remembered(key)
        assert is_remembered(remembered_key(key, uuid4()))


@pytest.mark.parametrize("value", [b"", b"\x01short", b"\x02" + account_at(1)[1:]])
def test_what_another_release_wrote_is_refused(value: bytes) -> None:
    with pytest.raises(UnreadableValue, match="another release"):
        place_of(value)
