"""The fake of Stripe behaves as Stripe does, to the real `stripe` package."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from time import monotonic, time
from typing import Any

import aiohttp
import pytest
import stripe
from stripe import StripeClient

from tests.stripe_fake import (
    KEY,
    FakeStripe,
    meter_errors,
    meter_reference,
    served,
    signed,
    snapshot_event,
    thin_event,
)
from tests.until import until

HOUR, DAY = 3600, 86_400
# Newer than 35 days at any time of the test, and at the start of a UTC day.
TODAY = int(time()) // DAY * DAY
SECRET = "whsec_fake"

# Stripe's objects and the fake's JSON.
Json = Any

# They open sockets, though they need neither Kafka nor ClickHouse.
pytestmark = [pytest.mark.services, pytest.mark.timeout(60)]


def changed(params: Json, **change: Json) -> Json:
    return {**params, **change}


@dataclass
class Stripe:
    fake: FakeStripe
    client: StripeClient
    url: str
    http: aiohttp.ClientSession

    async def control(self, name: str, body: Json = None) -> Json:
        if name in ("state", "events", "objects") and body is None:
            answer = await self.http.get(f"{self.url}/_fake/{name}")
        else:
            answer = await self.http.post(f"{self.url}/_fake/{name}", json=body or {})
        assert answer.status == 200, await answer.text()
        return await answer.json()

    async def state(self) -> Json:
        return await self.control("state")

    async def report(
        self,
        identifier: str,
        value: int | str = 1,
        *,
        customer: str = "cus_1",
        meter: str = "events",
        timestamp: int | None = None,
        key: str | None = None,
        **more: Json,
    ) -> Json:
        params: Json = {
            "event_name": meter,
            "payload": {"stripe_customer_id": customer, "value": str(value)},
            "identifier": identifier,
            "timestamp": int(self.fake.now()) if timestamp is None else timestamp,
            **more,
        }
        options: Json = {} if key is None else {"idempotency_key": key}
        return await self.client.v1.billing.meter_events.create_async(params, options)


@asynccontextmanager
async def connected(fake: FakeStripe, patience: float = 5.0) -> AsyncIterator[Stripe]:
    async with served(fake) as url, aiohttp.ClientSession() as http:
        client = stripe.AIOHTTPClient(timeout=aiohttp.ClientTimeout(patience))
        stripe_client = StripeClient(
            KEY,
            base_addresses={"api": url, "meter_events": url, "connect": url, "files": url},
            http_client=client,
            max_network_retries=0,
        )
        try:
            yield Stripe(fake, stripe_client, url, http)
        finally:
            await client.close_async()  # type: ignore[no-untyped-call]


@pytest.fixture(autouse=True)
def _no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    # The package would write an id into the home folder.
    monkeypatch.setattr(stripe, "enable_telemetry", False)


@pytest.fixture
async def api() -> AsyncIterator[Stripe]:
    async with connected(FakeStripe()) as api:
        yield api
        assert api.fake.wrong == []


@pytest.fixture
async def unchecked() -> AsyncIterator[Stripe]:
    async with connected(FakeStripe()) as api:
        yield api


async def test_events_are_summed_by_customer_and_meter(api: Stripe) -> None:
    event = await api.report("a", 3, timestamp=TODAY)
    assert (event.identifier, event.timestamp) == ("a", TODAY)
    assert event.payload["value"] == "3"
    await api.report("b", 4)
    await api.report("c", 5, meter="posts")
    await api.report("d", 0, customer="cus_2")
    state = await api.state()
    assert state["totals"] == {"cus_1": {"events": 7, "posts": 5}, "cus_2": {"events": 0}}
    assert (state["counted"], state["calls"], state["identifiers"]) == (4, 4, 4)


async def test_an_identifier_counts_once_within_a_day(api: Stripe) -> None:
    await api.report("a")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await api.report("a", 9)
    assert caught.value.user_message == "An event already exists with identifier a."
    assert (caught.value.http_status, caught.value.code) == (400, None)
    await api.control("clock", {"ahead_seconds": DAY - 60})
    with pytest.raises(stripe.InvalidRequestError):
        await api.report("a")
    await api.control("clock", {"ahead_seconds": DAY + 1})
    await api.report("a")
    assert (await api.state())["totals"] == {"cus_1": {"events": 2}}


async def test_forgotten_identifiers_count_again(api: Stripe) -> None:
    await api.report("a", key="a", timestamp=TODAY)
    await api.control("forget-identifiers")
    await api.report("a", key="a", timestamp=TODAY)
    assert (await api.state())["counted"] == 2


async def test_an_idempotency_key_answers_the_same_again(api: Stripe) -> None:
    first = await api.report("a", 2, key="k", timestamp=TODAY)
    again = await api.report("a", 2, key="k", timestamp=TODAY)
    assert first.to_dict() == again.to_dict()
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError):
        await api.report("a", 3, key="k", timestamp=TODAY)
    assert (await api.state())["counted"] == 1


async def test_an_idempotency_key_is_kept_for_other_calls_too(api: Stripe) -> None:
    options: Json = {"idempotency_key": "k"}
    first = await api.client.v1.customers.create_async({"email": "a@example.com"}, options)
    again = await api.client.v1.customers.create_async({"email": "a@example.com"}, options)
    assert first.id == again.id
    assert len(api.fake.objects.customers) == 1


@pytest.mark.parametrize(
    ("offset", "code"),
    [
        (-36 * DAY, "timestamp_too_far_in_past"),
        (301 + 5, "timestamp_in_future"),
        (-34 * DAY, None),
        (290, None),
    ],
)
async def test_timestamps_have_bounds(api: Stripe, offset: int, code: str | None) -> None:
    at = int(time()) + offset
    if code is None:
        await api.report("a", timestamp=at)
    else:
        with pytest.raises(stripe.InvalidRequestError) as caught:
            await api.report("a", timestamp=at)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"payload": {"stripe_customer_id": "c"}}, "Missing required param: payload[value]"),
        ({"payload": {"value": "1"}}, "Missing required param: payload[stripe_customer_id]"),
        ({"value": 1.5}, "not a whole number"),
        ({"value": -1}, "not a whole number"),
        ({"surprise": "x"}, "unknown parameter: surprise"),
        ({"timestamp": "2026-01-01"}, "Invalid integer"),
    ],
)
async def test_wrong_parameters_of_events_are_noted(
    unchecked: Stripe, change: Json, said: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await unchecked.report("a", **change)
    assert said in str(caught.value)
    assert len((await unchecked.state())["wrong"]) == 1
    assert (await unchecked.state())["counted"] == 0


async def test_wrong_parameters_of_other_calls_are_noted(unchecked: Stripe) -> None:
    calls: list[tuple[str, Json, str]] = [
        ("/v1/customers", {"surname": "x"}, "unknown parameter: surname"),
        ("/v1/customers", {"address": {"town": "x"}}, "unknown parameter: address[town]"),
        ("/v1/products", {}, "Missing required param: name"),
        ("/v1/prices", {"currency": "eur", "unit_amount": "1.5"}, "Invalid int"),
        ("/v1/billing/meters", {"display_name": "x"}, "Missing required param"),
        (
            "/v1/prices",
            {"currency": "eur", "unit_amount": 1, "recurring": {"interval": "fortnight"}},
            "must be one of",
        ),
        ("/v1/refunds", {}, "Unrecognized request URL"),
    ]
    for number, (path, params, said) in enumerate(calls, 1):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            await unchecked.client.raw_request_async("post", path, **params)
        assert said in str(caught.value)
        assert len(unchecked.fake.wrong) == number


async def test_only_the_key_opens(unchecked: Stripe) -> None:
    await unchecked.control("key", {"valid": False})
    with pytest.raises(stripe.AuthenticationError):
        await unchecked.report("a")
    with pytest.raises(stripe.AuthenticationError):
        await unchecked.client.v1.customers.list_async()
    await unchecked.control("key", {"valid": True})
    await unchecked.report("a")
    bad = await unchecked.http.get(
        f"{unchecked.url}/v1/customers", headers={"Authorization": "Bearer sk_test_other"}
    )
    assert bad.status == 401
    assert "other" not in await bad.text()


async def test_one_call_at_a_time_for_a_customer_and_meter() -> None:
    async with connected(FakeStripe(delay=0.3)) as api:
        results = await asyncio.gather(
            api.report("a"),
            api.report("b"),
            api.report("c", meter="posts"),
            api.report("d", customer="cus_2"),
            return_exceptions=True,
        )
        limited = [each for each in results if isinstance(each, stripe.RateLimitError)]
        assert len(limited) == 1
        # The package leaves the code of a 429 out of `code`.
        assert limited[0].code is None
        assert limited[0].error is not None
        assert limited[0].error.code == "lock_timeout"
        state = await api.state()
        assert (state["overlaps"], state["counted"], state["most_at_once"]) == (1, 3, 3)


async def test_the_same_key_at_once_is_a_conflict() -> None:
    async with connected(FakeStripe(delay=0.3)) as api:
        results = await asyncio.gather(
            api.report("a", key="a", timestamp=TODAY),
            api.report("a", key="a", timestamp=TODAY),
            return_exceptions=True,
        )
        (conflict,) = (each for each in results if isinstance(each, stripe.StripeError))
        assert (type(conflict), conflict.http_status) == (stripe.APIError, 409)
        assert api.fake.locks.overlaps == 1


async def test_work_goes_on_when_its_caller_left() -> None:
    async with connected(FakeStripe(delay=3)) as api:
        leaving = asyncio.create_task(api.report("a"))
        await until(lambda: api.fake.locks.most_at_once == 1)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        await until(lambda: api.fake.locks.left == 1)
        with pytest.raises(stripe.RateLimitError):
            await api.report("b")
        await until(lambda: not api.fake.locks.left)
        state = await api.state()
        assert (state["counted"], state["overlaps"], state["abandoned_overlaps"]) == (1, 0, 1)


async def test_strict_meters_want_a_meter(api: Stripe) -> None:
    await api.control("settings", {"strict_meters": True})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await api.report("a")
    assert caught.value.code == "no_meter"
    await _meter(api)
    await api.report("a")


async def test_an_adjustment_takes_an_event_out_once(api: Stripe) -> None:
    await api.report("a", 5)
    await api.report("b", 2)
    adjustments = api.client.v1.billing.meter_event_adjustments
    cancel: Json = {"event_name": "events", "type": "cancel", "cancel": {"identifier": "a"}}
    answer = await adjustments.create_async(cancel)
    assert (answer.object, answer.status) == ("billing.meter_event_adjustment", "pending")
    assert (await api.state())["totals"] == {"cus_1": {"events": 2}}
    with pytest.raises(stripe.InvalidRequestError):
        await adjustments.create_async(cancel)
    await api.control("clock", {"ahead_seconds": DAY + 1})
    cancel["cancel"]["identifier"] = "b"
    with pytest.raises(stripe.InvalidRequestError, match="within 24 hours"):
        await adjustments.create_async(cancel)
    assert (await api.state())["totals"] == {"cus_1": {"events": 2}}


async def _meter(api: Stripe, event_name: str = "events") -> Json:
    return await api.client.v1.billing.meters.create_async(
        {
            "display_name": "Events",
            "event_name": event_name,
            "default_aggregation": {"formula": "sum"},
            "customer_mapping": {"type": "by_id", "event_payload_key": "stripe_customer_id"},
            "value_settings": {"event_payload_key": "value"},
        }
    )


async def test_meters_are_made_found_and_listed(api: Stripe) -> None:
    meters = api.client.v1.billing.meters
    meter = await _meter(api)
    await _meter(api, "posts")
    assert (await meters.retrieve_async(meter.id)).event_name == "events"
    listed = await meters.list_async({"status": "active", "limit": 1})
    assert [each.event_name async for each in listed.auto_paging_iter()] == ["posts", "events"]
    with pytest.raises(stripe.InvalidRequestError):
        await _meter(api)


async def test_summaries_come_by_hour_newest_first_in_pages(api: Stripe) -> None:
    meter = await _meter(api)
    start = TODAY - 2 * DAY
    for hour in (0, 1, 5):
        await api.report(f"a{hour}", hour + 1, timestamp=start + hour * HOUR)
        await api.report(f"b{hour}", 10, timestamp=start + hour * HOUR + HOUR - 1)
    await api.report("end", 100, timestamp=start + DAY)
    await api.report("other", 100, timestamp=start, customer="cus_2")
    params: Json = {
        "customer": "cus_1",
        "start_time": start,
        "end_time": start + DAY,
        "value_grouping_window": "hour",
        "limit": 2,
    }
    summaries = api.client.v1.billing.meters.event_summaries
    listed = await summaries.list_async(meter.id, params)
    assert listed.has_more
    rows = [row async for row in listed.auto_paging_iter()]
    assert [
        (row.start_time, row.end_time - row.start_time, row.aggregated_value) for row in rows
    ] == [
        (start + 5 * HOUR, HOUR, 16),
        (start + HOUR, HOUR, 12),
        (start, HOUR, 11),
    ]
    await api.control("settings", {"empty_windows": True})
    listed = await summaries.list_async(meter.id, changed(params, limit=100))
    assert [row.aggregated_value for row in listed.data][-6:] == [16, 0, 0, 0, 12, 11]


async def test_summaries_come_by_day_and_as_one(api: Stripe) -> None:
    meter = await _meter(api)
    await api.report("a", 1, timestamp=TODAY - 2 * DAY)
    await api.report("b", 2, timestamp=TODAY - DAY)
    summaries = api.client.v1.billing.meters.event_summaries
    params: Json = {"customer": "cus_1", "start_time": TODAY - 2 * DAY, "end_time": TODAY}
    by_day = await summaries.list_async(meter.id, changed(params, value_grouping_window="day"))
    assert [row.aggregated_value for row in by_day.data] == [2, 1]
    (whole,) = (await summaries.list_async(meter.id, params)).data
    assert (whole.aggregated_value, whole.start_time) == (3, TODAY - 2 * DAY)


@pytest.mark.parametrize(
    ("shift", "window", "refused"),
    [
        (60, None, None),
        (30, None, "minute"),
        (60, "hour", "hour"),
        (HOUR, "hour", None),
        (HOUR, "day", "day"),
    ],
)
async def test_bounds_of_summaries_are_aligned(
    api: Stripe, shift: int, window: str | None, refused: str | None
) -> None:
    meter = await _meter(api)
    params: Json = {"customer": "cus_1", "start_time": TODAY - DAY + shift, "end_time": TODAY}
    if window:
        params["value_grouping_window"] = window
    summaries = api.client.v1.billing.meters.event_summaries
    if refused is None:
        await summaries.list_async(meter.id, params)
    else:
        with pytest.raises(stripe.InvalidRequestError, match=f"must be aligned with {refused}"):
            await summaries.list_async(meter.id, params)


async def test_customers_are_kept_and_merge_metadata(api: Stripe) -> None:
    customers = api.client.v1.customers
    made = await customers.create_async(
        {"email": "a@example.com", "metadata": {"workspace": "w1", "gone": "x"}}
    )
    await customers.update_async(made.id, {"name": "Ada", "metadata": {"gone": "", "more": "y"}})
    found = await customers.retrieve_async(made.id)
    assert (found.name, found.email) == ("Ada", "a@example.com")
    assert found.metadata is not None
    assert found.metadata.to_dict() == {"workspace": "w1", "more": "y"}
    listed = await customers.list_async({"email": "a@example.com"})
    assert [each.id for each in listed.data] == [made.id]
    assert (await customers.list_async({"email": "b@example.com"})).data == []


async def test_a_deleted_customer_stays_as_deleted(api: Stripe) -> None:
    customers = api.client.v1.customers
    await api.control("customers", {"id": "cus_1", "email": "a@example.com"})
    await api.control("subscriptions", {"id": "sub_1", "customer": "cus_1"})
    assert (await customers.delete_async("cus_1")).deleted
    found = await customers.retrieve_async("cus_1")
    assert found.to_dict() == {"id": "cus_1", "object": "customer", "deleted": True}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await customers.update_async("cus_1", {"name": "x"})
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")
    assert (await customers.list_async()).data == []
    assert (await api.client.v1.subscriptions.retrieve_async("sub_1")).status == "canceled"


async def test_subscriptions_have_prices_and_periods_on_items(api: Stripe) -> None:
    product = await api.client.v1.products.create_async({"id": "weir_pro", "name": "Pro"})
    price = await api.client.v1.prices.create_async(
        {
            "product": product.id,
            "currency": "eur",
            "unit_amount": 900,
            "lookup_key": "pro_monthly",
            "recurring": {"interval": "month"},
        }
    )
    await api.control(
        "subscriptions",
        {
            "id": "sub_1",
            "customer": "cus_1",
            "prices": ["pro_monthly"],
            "current_period_start": TODAY,
            "current_period_end": TODAY + 30 * DAY,
            "metadata": {"workspace": "w1"},
        },
    )
    await api.control("subscriptions", {"id": "sub_2", "customer": "cus_1", "status": "canceled"})
    await api.control("subscriptions", {"id": "sub_3", "customer": "cus_2", "status": "past_due"})
    subscriptions = api.client.v1.subscriptions
    listed = await subscriptions.list_async({"customer": "cus_1", "status": "all", "limit": 10})
    assert [each.id for each in listed.data] == ["sub_2", "sub_1"]
    (live,) = (await subscriptions.list_async({"customer": "cus_1"})).data
    # `subscription.items` is the method of dict.
    (item,) = live["items"].data
    assert (item.price.id, item.price.lookup_key, item.price.product) == (
        price.id,
        "pro_monthly",
        "weir_pro",
    )
    assert (item.current_period_start, item.current_period_end) == (TODAY, TODAY + 30 * DAY)
    assert not live.cancel_at_period_end
    assert live.metadata["workspace"] == "w1"
    await api.control(
        "subscriptions", {"id": "sub_1", "customer": "cus_1", "status": "unpaid", "prices": []}
    )
    assert (await subscriptions.retrieve_async("sub_1")).status == "unpaid"
    gone = await api.http.delete(f"{api.url}/_fake/subscriptions/sub_1")
    assert (await gone.json())["deleted"]
    with pytest.raises(stripe.InvalidRequestError):
        await subscriptions.retrieve_async("sub_1")
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        await subscriptions.list_async({"customer": "cus_9"})


async def test_lists_come_in_pages(api: Stripe) -> None:
    for number in range(5):
        await api.client.v1.customers.create_async({"name": str(number)})
    listed = await api.client.v1.customers.list_async({"limit": 2})
    assert [each.name for each in listed.data] == ["4", "3"]
    assert [each.name async for each in listed.auto_paging_iter()] == ["4", "3", "2", "1", "0"]
    with pytest.raises(stripe.InvalidRequestError):
        await api.client.v1.customers.list_async({"limit": 101})


async def test_an_unsupported_filter_is_noted_not_ignored(unchecked: Stripe) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="does not filter by test_clock"):
        await unchecked.client.v1.customers.list_async({"test_clock": "x"})
    assert len(unchecked.fake.wrong) == 1


async def test_a_product_is_made_once_by_its_id(api: Stripe) -> None:
    products = api.client.v1.products
    await products.create_async({"id": "weir_pro", "name": "Pro"})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await products.create_async({"id": "weir_pro", "name": "Pro"})
    assert caught.value.code == "resource_already_exists"
    await products.update_async("weir_pro", {"name": "Professional"})
    assert (await products.retrieve_async("weir_pro")).name == "Professional"
    assert len((await products.list_async({"active": True})).data) == 1


async def test_a_lookup_key_belongs_to_one_price(api: Stripe) -> None:
    prices = api.client.v1.prices
    meter = await _meter(api)
    await api.client.v1.products.create_async({"id": "p", "name": "P"})
    params: Json = {
        "product": "p",
        "currency": "eur",
        "unit_amount_decimal": Decimal("0.02"),
        "lookup_key": "overage",
        "recurring": {"interval": "month", "usage_type": "metered", "meter": meter.id},
    }
    first = await prices.create_async(params)
    assert (first.unit_amount, first.unit_amount_decimal) == (None, Decimal("0.02"))
    assert first.recurring is not None
    assert first.recurring.meter == meter.id
    with pytest.raises(stripe.InvalidRequestError, match="already uses that lookup key"):
        await prices.create_async(params)
    second = await prices.create_async(changed(params, transfer_lookup_key=True))
    listed = await prices.list_async({"lookup_keys": ["overage", "none"], "active": True})
    assert [each.id for each in listed.data] == [second.id]
    assert (await prices.retrieve_async(first.id)).lookup_key is None
    await prices.update_async(second.id, {"active": False})
    assert (await prices.list_async({"lookup_keys": ["overage"], "active": True})).data == []


async def test_metered_prices_need_a_meter(api: Stripe) -> None:
    await api.client.v1.products.create_async({"id": "p", "name": "P"})
    params: Json = {"product": "p", "currency": "eur", "unit_amount": 1}
    for recurring in (
        {"interval": "month", "usage_type": "metered"},
        {"interval": "month", "usage_type": "metered", "meter": "mtr_none"},
    ):
        with pytest.raises(stripe.InvalidRequestError):
            await api.client.v1.prices.create_async(changed(params, recurring=recurring))


async def test_sessions_have_a_url(api: Stripe) -> None:
    await api.control("customers", {"id": "cus_1"})
    await api.client.v1.products.create_async({"id": "p", "name": "P"})
    price = await api.client.v1.prices.create_async(
        {"product": "p", "currency": "eur", "unit_amount": 9, "recurring": {"interval": "month"}}
    )
    portal = await api.client.v1.billing_portal.sessions.create_async(
        {"customer": "cus_1", "return_url": "https://example.com/"}
    )
    assert (portal.object, portal.url[:27]) == (
        "billing_portal.session",
        "https://billing.stripe.com/",
    )
    params: Json = {
        "mode": "subscription",
        "line_items": [{"price": price.id, "quantity": 1}],
        "customer": "cus_1",
        "client_reference_id": "w1",
        "success_url": "https://example.com/ok",
        "cancel_url": "https://example.com/no",
        "subscription_data": {"metadata": {"workspace": "w1"}},
        "metadata": {"workspace": "w1"},
    }
    checkout = await api.client.v1.checkout.sessions.create_async(params)
    assert checkout.object == "checkout.session"
    assert checkout.url == f"https://checkout.stripe.com/c/pay/{checkout.id}"
    assert api.fake.objects.sessions[checkout.id]["subscription_data"] == {
        "metadata": {"workspace": "w1"}
    }
    for change in ({"line_items": [{"price": "none", "quantity": 1}]}, {"customer": "cus_9"}):
        with pytest.raises(stripe.InvalidRequestError, match="No such"):
            await api.client.v1.checkout.sessions.create_async(changed(params, **change))


@pytest.mark.parametrize(
    ("fault", "error", "status", "counted", "after"),
    [
        ("429", stripe.RateLimitError, 429, 0, None),
        ("429-after-0", stripe.RateLimitError, 429, 0, "0"),
        ("429-after-1", stripe.RateLimitError, 429, 0, "1"),
        ("lock", stripe.RateLimitError, 429, 0, None),
        ("500", stripe.APIError, 500, 0, None),
        ("502-html", stripe.APIError, 502, 0, None),
        ("400", stripe.InvalidRequestError, 400, 0, None),
        ("403", stripe.PermissionError, 403, 0, None),
        ("500-kept", stripe.APIError, 500, 0, None),
        ("500-counted", stripe.APIError, 500, 1, None),
        ("cut", stripe.APIConnectionError, None, 1, None),
        ("lost", stripe.APIConnectionError, None, 1, None),
    ],
)
async def test_faults_as_scripted(
    fault: str,
    error: type[stripe.StripeError],
    status: int | None,
    counted: int,
    after: str | None,
) -> None:
    async with connected(FakeStripe(), patience=0.5) as api:
        await api.control("script", {"faults": ["ok", fault]})
        await api.report("first")
        with pytest.raises(error) as caught:
            await api.report("a", key="a", timestamp=TODAY)
        assert type(caught.value) is error
        assert caught.value.http_status == status
        assert (caught.value.headers or {}).get("Retry-After") == after
        assert (await api.state())["counted"] == 1 + counted
        if fault in ("500-kept", "500-counted"):
            # Stripe answers a kept 500 again, however often the call is repeated.
            with pytest.raises(stripe.APIError):
                await api.report("a", key="a", timestamp=TODAY)
        else:
            await api.report("a", key="a", timestamp=TODAY)
            assert (await api.state())["counted"] == 2
        assert (await api.state())["scripted"] == 0


async def test_a_body_cut_off_is_an_error_of_aiohttp_not_of_stripe(api: Stripe) -> None:
    await api.control("script", {"faults": ["cut-body"]})
    with pytest.raises(aiohttp.ClientPayloadError):
        await api.report("a", key="a", timestamp=TODAY)
    await api.report("a", key="a", timestamp=TODAY)
    assert (await api.state())["counted"] == 1


async def test_a_kept_500_yields_to_a_new_key_with_the_same_identifier(api: Stripe) -> None:
    await api.control("script", {"faults": ["500-kept", "500-counted"]})
    with pytest.raises(stripe.APIError):
        await api.report("a", key="a1", timestamp=TODAY)
    with pytest.raises(stripe.APIError):
        await api.report("b", key="b1", timestamp=TODAY)
    await api.report("a", key="a2", timestamp=TODAY)
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        await api.report("b", key="b2", timestamp=TODAY)
    assert (await api.state())["counted"] == 2


async def test_a_slow_call_is_counted_late(api: Stripe) -> None:
    await api.control("script", {"faults": [{"kind": "slow", "seconds": 0.3}]})
    began = monotonic()
    await api.report("a")
    assert monotonic() - began >= 0.3


async def test_random_faults_lose_and_double_nothing_for_a_caller_who_repeats() -> None:
    kinds = ["429", "429-after-0", "500", "cut", {"kind": "slow", "seconds": 0.01}]
    async with connected(FakeStripe()) as api:
        await api.control("faults", {"rate": 0.5, "seed": 7, "kinds": kinds})
        for number in range(60):
            for _ in range(30):
                try:
                    await api.report(f"e{number}", key=f"e{number}", timestamp=TODAY)
                except stripe.StripeError:
                    continue
                break
        state = await api.state()
        assert state["totals"] == {"cus_1": {"events": 60}}
        assert set(state["faults"]) == {"429", "429-after-0", "500", "cut", "slow"}
        assert (state["overlaps"], state["wrong"]) == (0, [])
        await api.control("faults", {"rate": 0})
        await api.report("last")


async def test_random_faults_repeat_by_their_seed() -> None:
    async def seen(seed: int) -> list[str]:
        async with connected(FakeStripe()) as api:
            await api.control("faults", {"rate": 0.5, "seed": seed, "kinds": ["429", "500"]})
            outcomes = []
            for number in range(20):
                try:
                    await api.report(str(number))
                    outcomes.append("counted")
                except stripe.StripeError as error:
                    outcomes.append(str(error.http_status))
            return outcomes

    assert await seen(1) == await seen(1)
    assert await seen(1) != await seen(2)


async def test_control_adds_and_removes_events(api: Stripe) -> None:
    event = {"customer": "cus_1", "event_name": "events", "value": 5, "identifier": "x"}
    await api.control("events", {"add": [event, {**event, "identifier": "y", "timestamp": TODAY}]})
    assert (await api.state())["totals"] == {"cus_1": {"events": 10}}
    assert (await api.control("events", {"remove": "x"}))["removed"] == 1
    assert (await api.control("events", {"remove": "x"}))["removed"] == 0
    assert (await api.state())["totals"] == {"cus_1": {"events": 5}}
    (left,) = await api.control("events")
    assert (left["identifier"], left["timestamp"], left["value"]) == ("y", TODAY, 5)


async def test_control_shows_objects(api: Stripe) -> None:
    await api.control("customers", {"id": "cus_1", "email": "a@example.com"})
    await api.control("customers", {"id": "cus_2", "deleted": True})
    objects = await api.control("objects")
    assert objects["customers"]["cus_1"]["email"] == "a@example.com"
    assert objects["customers"]["cus_2"]["deleted"]
    assert (await api.client.v1.customers.retrieve_async("cus_2")).deleted


async def test_control_says_what_is_wrong(api: Stripe) -> None:
    for name, body in (("script", {"faults": ["typo"]}), ("settings", {"typo": 1}), ("key", {})):
        answer = await api.http.post(f"{api.url}/_fake/{name}", json=body)
        assert answer.status == 400


async def test_a_thin_event_is_fetched_with_its_data(api: Stripe) -> None:
    meter = await _meter(api)
    kind = "v1.billing.meter.error_report_triggered"
    related = meter_reference(meter.id)
    data = meter_errors(
        {"meter_event_customer_not_found": [("key-1", "No customer."), ("key-2", "No customer.")]},
        until=TODAY,
    )
    await api.control(
        "thin-events", {"id": "evt_1", "type": kind, "data": data, "related_object": related}
    )
    payload = thin_event(kind, event_id="evt_1", related=related, created=TODAY)
    notification: Json = api.client.parse_event_notification(
        payload, signed(payload, SECRET, int(time())), SECRET
    )
    assert (notification.type, notification.related_object.id) == (kind, meter.id)
    event: Json = await api.client.v2.core.events.retrieve_async(notification.id)
    assert (event.id, event.type, event.related_object.id) == ("evt_1", kind, meter.id)
    assert event.data.reason.error_count == 2
    (errors,) = event.data.reason.error_types
    assert (errors.code, errors.error_count) == ("meter_event_customer_not_found", 2)
    assert [each.request.identifier for each in errors.sample_errors] == ["key-1", "key-2"]
    with pytest.raises(stripe.InvalidRequestError):
        await api.client.v2.core.events.retrieve_async("evt_9")


async def test_the_packages_own_fetch_sends_a_parameter_that_nobody_knows(
    unchecked: Stripe,
) -> None:
    # stripe 16.1.0 leaves `usage`, meant for its own telemetry, in the query of the async call.
    kind = "v1.billing.meter.error_report_triggered"
    payload = thin_event(kind, event_id="evt_1", related=meter_reference("mtr_1"))
    notification = unchecked.client.parse_event_notification(
        payload, signed(payload, SECRET, int(time())), SECRET
    )
    with pytest.raises(stripe.InvalidRequestError, match="unknown parameter: usage"):
        await notification.fetch_event_async()


async def test_snapshot_events_are_signed_as_the_package_checks(api: Stripe) -> None:
    subscription = {"id": "sub_1", "object": "subscription", "customer": "cus_1"}
    payload = snapshot_event(
        "customer.subscription.updated", subscription, event_id="evt_1", created=TODAY
    )
    now = int(time())
    event = api.client.construct_event(payload, signed(payload, SECRET, now), SECRET)
    assert (event.id, event.type, event.created) == (
        "evt_1",
        "customer.subscription.updated",
        TODAY,
    )
    assert event.data.object["id"] == "sub_1"
    for at, secret, body in (
        (now - 400, SECRET, payload),
        (now, "whsec_other", payload),
        (now, SECRET, payload.replace(b"cus_1", b"cus_2")),
    ):
        with pytest.raises(stripe.SignatureVerificationError):
            api.client.construct_event(body, signed(payload, secret, at), SECRET)
