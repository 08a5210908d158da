"""Signatures of webhooks, held against the package's own; and that each is taken once."""

import string
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Final

import pytest
import stripe
from hypothesis import assume, given
from hypothesis import strategies as st

from api.billing.signatures import (
    TOLERANCE,
    Deliveries,
    Delivery,
    NotSigned,
    Replayed,
    TooManyDeliveries,
    check_signature,
)
from tests.stripe_fake import signed

NOW: Final = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
AT: Final = int(NOW.timestamp())
SECRET: Final = "whsec_one"
BODY: Final = '{"id": "evt_1", "name": "Zoë"}'.encode()
SECOND: Final = timedelta(seconds=1)


def check(
    header: str | bytes,
    body: bytes = BODY,
    secrets: Sequence[str] = (SECRET,),
    now: datetime = NOW,
) -> Delivery:
    raw = header if isinstance(header, bytes) else header.encode("latin-1")
    return check_signature(body, raw, [each.encode() for each in secrets], now)


def holds(header: str, body: bytes, secrets: Sequence[str], now: datetime = NOW) -> bool:
    try:
        check(header, body, secrets, now)
    except NotSigned:
        return False
    return True


@given(text=st.text(), secret=st.text(string.ascii_letters + "_", min_size=1))
def test_what_the_package_signs_holds(text: str, secret: str) -> None:
    assert check(signed(text.encode(), secret, AT), text.encode(), [secret]).signed_at == NOW


@pytest.mark.parametrize("off", [-TOLERANCE, -SECOND, timedelta(0), SECOND, TOLERANCE])
def test_clocks_may_differ_by_the_tolerance(off: timedelta) -> None:
    assert check(signed(BODY, SECRET, AT), now=NOW + off)


@pytest.mark.parametrize(
    ("off", "said"), [(TOLERANCE + SECOND, "ago"), (-TOLERANCE - SECOND, "from now")]
)
def test_by_more_they_may_not(off: timedelta, said: str) -> None:
    with pytest.raises(NotSigned, match=f"300 seconds {said}"):
        check(signed(BODY, SECRET, AT), now=NOW + off)


def test_while_a_secret_is_rolled_either_fits() -> None:
    old, new = signed(BODY, "whsec_old", AT), signed(BODY, "whsec_new", AT)
    both = f"{old},{new.split(',')[1]}"
    for header, secrets in product((old, both), (["whsec_old"], ["whsec_new", "whsec_old"])):
        assert holds(header, BODY, secrets)
    assert holds(both, BODY, ["whsec_new"])
    assert not holds(old, BODY, ["whsec_new"])
    assert not holds(both, BODY, ["whsec_another"])
    assert not holds(both, BODY, [])


GOOD: Final = signed(BODY, SECRET, AT).partition(",v1=")[2]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=,v1=",
        f"t={AT}",
        f"v1={GOOD}",
        f"t={AT},v0={GOOD}",
        f"t={AT},v1={GOOD[:-1]}",
        f"t={AT},v1={GOOD.upper()}",
        f"t={AT},v1={GOOD[:-1]}\xe9",
        f"t={AT},v1= {GOOD}",
        f"t=+{AT},v1={GOOD}",
        f"t={AT}.0,v1={GOOD}",
        f"t={AT},t={AT},v1={GOOD}",
        f"t={10**30},v1={GOOD}",
        f"t=-{AT},v1={GOOD}",
        f"t={AT + 1},v1={GOOD}",
        f"t={AT};v1={GOOD}",
    ],
)
def test_a_malformed_one_does_not_hold(header: str) -> None:
    with pytest.raises(NotSigned):
        check(header)


@given(header=st.binary(max_size=200), body=st.binary(max_size=50))
def test_whatever_is_sent_is_refused_with_a_reason(header: bytes, body: bytes) -> None:
    with pytest.raises(NotSigned, match=r"."):
        check(header, body)


@st.composite
def headers(draw: st.DrawFn) -> str:
    """Headers of good items and others, some left out or there twice, in any order."""
    at = draw(st.sampled_from([AT, AT + 1]))
    items = draw(
        st.lists(
            st.sampled_from(
                [
                    f"t={at}",
                    f"v1={signed(BODY, SECRET, at)[-64:]}",
                    f"v1={signed(BODY, 'another', at)[-64:]}",
                    f"v1={signed(BODY + b' ', SECRET, at)[-64:]}",
                    f"v0={64 * 'a'}",
                    "v1=",
                    "x",
                    "",
                ]
            ),
            max_size=5,
        )
    )
    return ",".join(items)


@given(header=headers())
def test_nearly_good_ones_hold_where_the_package_says_so(header: str) -> None:
    # Of several times the package takes the first, and this none; of two words without `=` it
    # takes neither, and this passes them over.
    assume(header.count("t=") == 1)
    items = [each for each in header.split(",") if "=" in each]
    try:
        stripe.WebhookSignature.verify_header(BODY, ",".join(items), SECRET)
        expected = True
    except stripe.SignatureVerificationError:
        expected = False
    assert holds(header, BODY, [SECRET]) == expected


@given(change=st.integers(0, len(BODY) - 1))
def test_a_byte_of_the_body_changed_does_not_hold(change: int) -> None:
    body = bytearray(BODY)
    body[change] ^= 1
    assert not holds(signed(BODY, SECRET, AT), bytes(body), [SECRET])


def test_the_package_takes_what_comes_from_the_future_and_this_does_not() -> None:
    header = signed(BODY, SECRET, int(time.time()) + 3600)
    assert stripe.WebhookSignature.verify_header(BODY, header, SECRET, 300)
    assert not holds(header, BODY, [SECRET], datetime.now(UTC))


def delivery(name: str = "one") -> Delivery:
    return Delivery(name.encode(), NOW)


def take(deliveries: Deliveries, name: str = "one", now: datetime = NOW) -> None:
    with deliveries.taken(delivery(name), now):
        pass


def test_the_same_time_and_body_are_the_same_delivery_however_it_is_written() -> None:
    header = signed(BODY, SECRET, AT)
    again = f"v0=x,v1={GOOD},t=0{AT},v1={64 * '0'}"
    assert check(header).mark == check(again).mark
    assert check(header).mark != check(signed(BODY, SECRET, AT + 1)).mark


def test_a_delivery_is_taken_once_as_long_as_its_signature_may_hold() -> None:
    deliveries = Deliveries()
    # It came as early as it may, so it would hold for twice the tolerance.
    early = NOW - TOLERANCE
    take(deliveries, now=early)
    for now in (early, NOW, NOW + TOLERANCE):
        with pytest.raises(Replayed):
            take(deliveries, now=now)
    take(deliveries, now=NOW + TOLERANCE + SECOND)
    take(deliveries, "another", NOW)


def test_while_it_is_being_taken_too() -> None:
    deliveries = Deliveries()
    with deliveries.taken(delivery(), NOW), pytest.raises(Replayed):
        take(deliveries)
    assert len(deliveries) == 1


def test_what_could_not_be_taken_is_forgotten() -> None:
    deliveries = Deliveries()
    with pytest.raises(OSError, match="away"), deliveries.taken(delivery(), NOW):
        raise OSError("away")
    assert len(deliveries) == 0
    take(deliveries)


def test_no_more_are_remembered_than_the_bound_and_none_before_its_time() -> None:
    deliveries = Deliveries(most=3)
    for name in "abc":
        take(deliveries, name)
    with pytest.raises(TooManyDeliveries):
        take(deliveries, "d")
    with pytest.raises(Replayed):
        take(deliveries, "a")
    later = NOW + 2 * TOLERANCE + SECOND
    take(deliveries, "d", later)
    assert len(deliveries) == 1
