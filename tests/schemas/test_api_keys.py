"""API keys: recognised by their form, stored as a hash."""

import re
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.api_keys import PATTERN, ApiKey, Kind, create_key, hash_of, is_whole
from schemas.key_messages import decode_key

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(("kind", "prefix"), [("write", "weir_w_"), ("read", "weir_r_")])
def test_a_key_says_its_kind_and_fits_what_scanners_look_for(kind: Kind, prefix: str) -> None:
    presented, key = create_key(kind, "shop", NOW)
    assert presented.startswith(prefix)
    assert re.fullmatch(PATTERN, presented)
    assert is_whole(presented)
    assert (key.kind, key.name, key.created_at, key.revoked_at) == (kind, "shop", NOW, None)


def test_nothing_but_the_hash_is_stored() -> None:
    presented, key = create_key("write", "shop", NOW)
    assert key.secret_hash == sha256(presented.encode()).hexdigest() == hash_of(presented)
    assert presented[len("weir_w_") :] not in key.model_dump_json()


def test_keys_differ() -> None:
    made = [create_key("read", "same", NOW) for _ in range(1_000)]
    assert len({presented for presented, _ in made}) == 1_000
    assert len({key.key_id for _, key in made}) == 1_000


PRESENTED, KEY = create_key("write", "shop", NOW)


@given(st.integers(0, len(PRESENTED) - 1), st.sampled_from("0Oo1lIZz_- "))
def test_a_wrong_character_is_noticed_without_a_look_up(at: int, character: str) -> None:
    changed = PRESENTED[:at] + character + PRESENTED[at + 1 :]
    assert is_whole(changed) == (changed == PRESENTED)


@given(st.text())
def test_what_is_no_key_is_none(text: str) -> None:
    assert not is_whole(text)
    assert not is_whole(PRESENTED + text) or not text
    hash_of(text)


def test_a_message_says_which_key_it_is_about() -> None:
    value = KEY.model_dump_json().encode()
    assert decode_key(KEY.key_id.encode(), value) == (KEY.key_id, KEY)
    assert decode_key(KEY.key_id.encode(), None) == (KEY.key_id, None)


@pytest.mark.parametrize(
    ("message_key", "value"),
    [
        (None, KEY.model_dump_json().encode()),
        (b"key_another", KEY.model_dump_json().encode()),
        (b"\xff", None),
        (KEY.key_id.encode(), b""),
        (KEY.key_id.encode(), b"\xff\xfe"),
        (KEY.key_id.encode(), b"{}"),
        (KEY.key_id.encode(), KEY.model_dump_json().replace("shop", "\\u001b[2J").encode()),
        (KEY.key_id.encode(), KEY.model_dump_json().replace("write", "admin").encode()),
        (KEY.key_id.encode(), KEY.model_dump_json(exclude={"secret_hash"}).encode()),
    ],
    # The id of the key is another in each process.
    ids=["no id", "another id", "no text", "empty", "no JSON", "no key", "name", "kind", "hash"],
)
def test_a_message_that_says_nothing_is_refused(
    message_key: bytes | None, value: bytes | None
) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_key(message_key, value)


@pytest.mark.parametrize("name", ["", "x" * 101, "two\nlines", "\x1b[31m"])
def test_names_can_be_printed(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        create_key("read", name, NOW)


def test_what_is_written_is_read_again() -> None:
    revoked = KEY.model_copy(update={"revoked_at": NOW})
    assert ApiKey.model_validate_json(revoked.model_dump_json()) == revoked
