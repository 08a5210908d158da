"""What of a webhook goes to Kafka: ids alone, from wherever Stripe's objects have them."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.billing.stripe_events import event_of
from api.problems import Problem
from schemas.billing import StripeEvent
from tests.stripe_fake import snapshot_event, thin_event
from tests.weir import Json

SIGNED_AT: Final = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
CREATED: Final = datetime(2026, 11, 24, 9, 29, 58, tzinfo=UTC)
CUSTOMER: Final = {"id": "cus_1", "object": "customer", "email": "ada@example.com"}
USER: Final = {"user_id": "ada"}


def told(kind: str, subject: Json) -> StripeEvent | None:
    body = snapshot_event(kind, subject, event_id="evt_1", created=int(CREATED.timestamp()))
    return event_of(body, SIGNED_AT)


def names(kind: str, subject: Json) -> tuple[str | None, str | None]:
    event = told(kind, subject)
    assert event is not None
    return event.customer_id, event.user_id


def test_an_event_is_its_ids_and_nothing_about_a_person() -> None:
    event = told("customer.updated", {**CUSTOMER, "metadata": USER})
    assert event is not None
    assert event.model_dump() == {
        "event_id": "evt_1",
        "type": "customer.updated",
        "created": CREATED,
        "thin": False,
        "customer_id": "cus_1",
        "user_id": "ada",
    }


@pytest.mark.parametrize(
    ("kind", "subject", "customer_id", "user_id"),
    [
        ("customer.deleted", CUSTOMER, "cus_1", None),
        (
            "customer.subscription.updated",
            {"object": "subscription", "customer": "cus_1", "metadata": USER},
            "cus_1",
            "ada",
        ),
        (
            "customer.subscription.paused",
            {"object": "subscription", "customer": CUSTOMER},
            "cus_1",
            None,
        ),
        (
            "invoice.paid",
            {
                "object": "invoice",
                "customer": "cus_1",
                "metadata": {},
                "parent": {"subscription_details": {"metadata": USER}},
            },
            "cus_1",
            "ada",
        ),
        (
            "invoice.payment_failed",
            {
                "object": "invoice",
                "customer": "cus_1",
                "subscription_details": {"metadata": USER},
                "parent": None,
            },
            "cus_1",
            "ada",
        ),
        (
            "checkout.session.completed",
            {"object": "checkout.session", "customer": "cus_1", "client_reference_id": "ada"},
            "cus_1",
            "ada",
        ),
        (
            "checkout.session.completed",
            {
                "object": "checkout.session",
                "customer": None,
                "client_reference_id": "bob",
                "metadata": USER,
            },
            None,
            "ada",
        ),
        (
            "entitlements.active_entitlement_summary.updated",
            {"object": "entitlements.active_entitlement_summary", "customer": "cus_1"},
            "cus_1",
            None,
        ),
        # Only a session refers to a user so.
        (
            "invoice.paid",
            {"object": "invoice", "customer": "cus_1", "client_reference_id": "bob"},
            "cus_1",
            None,
        ),
    ],
)
def test_ids_are_found_where_stripe_has_them(
    kind: str, subject: Json, customer_id: str | None, user_id: str | None
) -> None:
    assert names(kind, subject) == (customer_id, user_id)


@pytest.mark.parametrize(
    "value", ["", " \n", "x\x00", 257 * "x", 7, True, None, ["ada"], {"id": "ada"}]
)
def test_a_hint_that_cannot_be_used_is_left_out(value: Json) -> None:
    subject = {"object": "checkout.session", "customer": value, "metadata": {"user_id": value}}
    assert names("checkout.session.completed", subject) == (None, None)
    named = names("checkout.session.completed", {**subject, "client_reference_id": "ada"})
    assert named == (None, "ada")


@pytest.mark.parametrize("subject", [None, [], "x", 7, {"metadata": []}, {"parent": "x"}])
def test_an_object_of_another_shape_has_no_ids(subject: Json) -> None:
    body = {"id": "evt_1", "object": "event", "type": "invoice.paid", "data": {"object": subject}}
    for document in (body, {**body, "data": subject}):
        event = event_of(orjson.dumps(document), SIGNED_AT)
        assert event is not None
        assert (event.customer_id, event.user_id) == (None, None)


def test_a_thin_event_names_its_customer_where_it_is_about_one() -> None:
    for related, customer_id in (
        ({"id": "cus_1", "type": "customer", "url": "/v1/customers/cus_1"}, "cus_1"),
        ({"id": "mtr_1", "type": "billing.meter", "url": "/v1/billing/meters/mtr_1"}, None),
        (None, None),
    ):
        body = thin_event(
            "v1.billing.meter.error_report_triggered",
            event_id="evt_test_1",
            related=related,
            created=int(CREATED.timestamp()),
        )
        event = event_of(body, SIGNED_AT)
        assert event is not None
        assert event.thin
        assert event.created == CREATED
        assert (event.customer_id, event.user_id) == (customer_id, None)


@pytest.mark.parametrize(
    "created", [b"null", b"-1", b"1.5", b"1e300", b"99999999999999999999", b'"yesterday"', b"[]"]
)
def test_without_a_usable_time_it_happened_when_it_was_signed(created: bytes) -> None:
    good = b'{"id":"evt_1","object":"event","type":"invoice.paid"'
    for body in (good + b"}", good + b',"created":' + created + b"}"):
        event = event_of(body, SIGNED_AT)
        assert event is not None
        assert event.created == SIGNED_AT


@pytest.mark.parametrize(
    "kind",
    [
        "customer",
        "customers.created",
        "invoice.created",
        "charge.succeeded",
        "v2.core.event_destination.ping",
        "customer." + 100 * "x",
        1000 * "x",
        "\x00",
    ],
)
def test_what_nothing_acts_on_is_no_event(kind: str) -> None:
    assert told(kind, CUSTOMER) is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"\xff", "body"),
        (b"[" * 5_000, "body"),
        (b"[]", "body"),
        (b"null", "body"),
        (b'{"id": "evt_1", "type": "invoice.paid"}', "object"),
        (b'{"id": "evt_1", "type": "invoice.paid", "object": "list"}', "object"),
        (b'{"id": "evt_1", "type": "invoice.paid", "object": ["event"]}', "object"),
        (b'{"id": "evt_1", "object": "event"}', "type"),
        (b'{"id": "evt_1", "object": "event", "type": ""}', "type"),
        (b'{"id": "evt_1", "object": "event", "type": 7}', "type"),
        (b'{"type": "invoice.paid", "object": "event"}', "id"),
        (b'{"type": "charge.succeeded", "object": "event"}', "id"),
        (b'{"id": "in_1", "type": "invoice.paid", "object": "event"}', "id"),
        (b'{"id": "evt_1\\n", "type": "invoice.paid", "object": "event"}', "id"),
        (b'{"id": 1, "type": "invoice.paid", "object": "event"}', "id"),
    ],
)
def test_what_is_no_event_of_stripes_is_refused_by_name(body: bytes, field: str) -> None:
    with pytest.raises(Problem) as caught:
        event_of(body, SIGNED_AT)
    assert caught.value.status == 400
    assert [each.field for each in caught.value.errors] == [field]


JSON_VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip
MEMBERS: Final = st.sampled_from(
    ["id", "object", "type", "created", "data", "related_object", "customer", "metadata"]
)


@given(
    document=st.dictionaries(MEMBERS, JSON_VALUES),
    subject=st.dictionaries(MEMBERS, JSON_VALUES),
)
def test_nothing_signed_breaks_it(document: Json, subject: Json) -> None:
    good = {"id": "evt_1", "object": "event", "type": "customer.updated"}
    for body in (document, {**good, **document}, {**good, "data": {"object": subject}}):
        with suppress(Problem):
            event_of(orjson.dumps(body), SIGNED_AT)
