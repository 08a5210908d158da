"""What the table keeps comes back as it was, and what cannot be read is refused by name."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.quotas import QuotaDecision, TopUpChange
from streams.group.places import UnreadableValue
from streams.quotas.account import Account, HeldTopUp, Remembered
from streams.quotas.encoding import (
    decode_account,
    decode_remembered,
    encode_account,
    encode_remembered,
)

NOW = datetime(2026, 11, 24, 9, 30, 0, 123456, tzinfo=UTC)
ID = UUID("019ab0c2-7f00-7c3e-8f00-2a1b3c4d5e6f")
TOTALS = st.integers(0, (1 << 53) - 1)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2106, 1, 1), timezones=st.just(UTC))
NAMES = st.text(min_size=1, max_size=256)

ACCOUNTS = st.builds(
    Account,
    user_id=NAMES,
    plan=NAMES,
    period_start=MOMENTS,
    period_end=MOMENTS,
    usage_since=MOMENTS,
    subscription=st.booleans(),
    anchor_day=st.integers(0, 31),
    period_number=TOTALS,
    used=TOTALS,
    top_up_credits_used=TOTALS,
    top_ups=st.lists(
        st.builds(HeldTopUp, st.uuids(), st.integers(1, 10**9), st.none() | MOMENTS), max_size=5
    ).map(tuple),
    crossed=st.frozensets(st.sampled_from([80, 100])),
    changes=TOTALS,
    latest=st.none() | MOMENTS,
)
CHANGES = st.integers(1 - (1 << 53), (1 << 53) - 1)
# As they are made: in UTC.
DECISIONS = st.builds(
    QuotaDecision,
    decision_id=st.uuids(),
    command_id=st.uuids(),
    user_id=st.text("aé漢", min_size=1),
    kind=st.sampled_from(["spend", "refund", "top_up", "plan_changed", "restore"]),
    applied=st.booleans(),
    problem=st.none() | st.sampled_from(["quota_exceeded", "conflict"]),
    reason=st.text(min_size=1, max_size=200),
    count=TOTALS,
    spend_id=st.none() | st.uuids(),
    change=CHANGES,
    top_up_changes=st.lists(
        st.builds(TopUpChange, top_up_id=st.uuids(), change=CHANGES, ends_at=st.none() | MOMENTS),
        max_size=5,
    ),
    number=TOTALS,
    plan=st.just("free"),
    plans_version=st.integers(0, (1 << 31) - 1),
    subscription=st.booleans(),
    limit=TOTALS,
    quota_used=TOTALS,
    remaining=TOTALS,
    period_start=MOMENTS,
    resets_at=MOMENTS,
    period_number=TOTALS,
    crossed=st.lists(st.sampled_from([80, 100])),
    fingerprint=st.text(max_size=64),
    decided_at=MOMENTS,
)
REMEMBERED = st.builds(
    Remembered,
    command_id=st.uuids(),
    fingerprint=st.text(max_size=64),
    decision=DECISIONS,
    keep_until=MOMENTS,
    refunded=st.booleans(),
)

DECISION = QuotaDecision(
    decision_id=ID,
    command_id=ID,
    user_id="alice",
    kind="spend",
    applied=True,
    reason="a post",
    count=3,
    change=1,
    top_up_changes=[TopUpChange(top_up_id=ID, change=-2, ends_at=NOW)],
    number=1,
    plan="free",
    plans_version=1,
    limit=102,
    quota_used=102,
    remaining=0,
    period_start=NOW,
    resets_at=NOW + timedelta(days=7),
    period_number=1,
    crossed=[80, 100],
    fingerprint="8651a0dbd084dee7",
    decided_at=NOW,
)
ENTRY = Remembered(ID, "8651a0dbd084dee7", DECISION, NOW + timedelta(days=35))
ACCOUNT = Account(
    user_id="alice",
    plan="free",
    period_start=NOW,
    period_end=NOW + timedelta(days=7),
    usage_since=NOW,
    top_ups=(HeldTopUp(ID, 5, NOW), HeldTopUp(ID, 6)),
    crossed=frozenset({80}),
    latest=NOW,
)
# What release 0.1 writes; a later one must read it.
ACCOUNT_V1 = bytes.fromhex(
    "019ea5616c696365a466726565d7ff1d6f28006b055918d7ff1d6f28006b0e9398d7ff1d6f28006b055918c2"
    "000100009293c410019ab0c27f007c3e8f002a1b3c4d5e6f05d7ff1d6f28006b05591893c410019ab0c27f00"
    "7c3e8f002a1b3c4d5e6f06c0915000d7ff1d6f28006b055918"
)
ENTRY_V1 = bytes.fromhex(
    "0195c410019ab0c27f007c3e8f002a1b3c4d5e6fb038363531613064626430383464656537dc0018c410019a"
    "b0c27f007c3e8f002a1b3c4d5e6fc410019ab0c27f007c3e8f002a1b3c4d5e6fa5616c696365a57370656e64"
    "c3c0a66120706f737403c0019193c410019ab0c27f007c3e8f002a1b3c4d5e6ffed7ff1d6f28006b05591801"
    "a46672656501c2666600d7ff1d6f28006b055918d7ff1d6f28006b0e939801925064b0383635316130646264"
    "30383464656537d7ff1d6f28006b055918d7ff1d6f28006b337d98c2"
)


@given(ACCOUNTS)
def test_an_account_comes_back_as_it_was(account: Account) -> None:
    assert decode_account(encode_account(account)) == account


@given(REMEMBERED)
def test_a_remembered_command_comes_back_as_it_was(entry: Remembered) -> None:
    back = decode_remembered(encode_remembered(entry))
    assert back == entry
    assert back.decision.model_dump_json() == entry.decision.model_dump_json()


def test_what_the_first_release_wrote_is_read() -> None:
    assert decode_account(ACCOUNT_V1) == ACCOUNT
    assert decode_remembered(ENTRY_V1) == ENTRY


def test_what_is_remembered_takes_few_bytes() -> None:
    assert len(encode_account(ACCOUNT)) <= 120
    assert len(encode_remembered(ENTRY)) <= 250


@pytest.mark.parametrize("value", [b"", b"\x00", b"\x02\x90"])
def test_another_version_is_refused_with_what_to_do(value: bytes) -> None:
    for decode in (decode_account, decode_remembered):
        with pytest.raises(UnreadableValue, match=r"version .* run the release that wrote it"):
            decode(value)


@pytest.mark.parametrize("cut", [1, 2, 10, 30])
def test_damaged_bytes_are_refused_with_what_to_do(cut: int) -> None:
    with pytest.raises(UnreadableValue, match="damaged"):
        decode_account(encode_account(ACCOUNT)[:-cut])
    with pytest.raises(UnreadableValue, match="damaged"):
        decode_remembered(encode_remembered(ENTRY)[:-cut])


def test_bounds_that_became_narrower_since_do_not_make_a_value_unreadable() -> None:
    old = DECISION.model_copy(update={"plan": "Old Name"})
    entry = replace(ENTRY, decision=old)
    assert decode_remembered(encode_remembered(entry)) == entry
