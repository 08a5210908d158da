"""The endpoints but meter events: method, path, the package's type of parameters, what it does."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NotRequired

from stripe.params import (
    _customer_create_params,
    _customer_list_params,
    _customer_update_params,
    _price_create_params,
    _price_list_params,
    _price_update_params,
    _product_create_params,
    _product_list_params,
    _product_update_params,
    _subscription_list_params,
)
from stripe.params.billing import (
    _meter_create_params,
    _meter_event_adjustment_create_params,
    _meter_event_summary_list_params,
    _meter_list_params,
)
from stripe.params.billing_portal import _session_create_params as _portal_params
from stripe.params.checkout import _session_create_params as _checkout_params
from typing_extensions import TypedDict

from tests.stripe_fake.answers import Json, Refused
from tests.stripe_fake.objects import found, page

if TYPE_CHECKING:
    from tests.stripe_fake.server import FakeStripe

Endpoint = tuple[str, str, object, Callable[[Json, str], Json]]


class Nothing(TypedDict):
    """What a retrieval and a deletion take."""

    expand: NotRequired[list[str]]


def endpoints(fake: "FakeStripe") -> Iterator[Endpoint]:
    yield from _objects(fake)
    yield from _catalogue(fake)
    yield from _meters(fake)


def _objects(fake: "FakeStripe") -> Iterator[Endpoint]:
    objects = fake.objects
    customers, customer = "/v1/customers", "/v1/customers/{id}"
    created = _customer_create_params.CustomerCreateParams
    yield "POST", customers, created, objects.create_customer
    yield "GET", customers, _customer_list_params.CustomerListParams, objects.list_customers
    updated = _customer_update_params.CustomerUpdateParams
    yield "POST", customer, updated, objects.update_customer
    yield "GET", customer, Nothing, _retrieve(objects.customers, "customer")
    yield "DELETE", customer, Nothing, objects.delete_customer
    listed = _subscription_list_params.SubscriptionListParams
    yield "GET", "/v1/subscriptions", listed, objects.list_subscriptions
    retrieve = _retrieve(objects.subscriptions, "subscription")
    yield "GET", "/v1/subscriptions/{id}", Nothing, retrieve


def _catalogue(fake: "FakeStripe") -> Iterator[Endpoint]:
    objects, catalogue = fake.objects, fake.catalogue
    products, product = "/v1/products", "/v1/products/{id}"
    created = _product_create_params.ProductCreateParams
    yield "POST", products, created, catalogue.create_product
    yield "GET", products, _product_list_params.ProductListParams, catalogue.list_products
    updated = _product_update_params.ProductUpdateParams
    yield "POST", product, updated, catalogue.update_product
    yield "GET", product, Nothing, _retrieve(objects.products, "product")
    prices, price = "/v1/prices", "/v1/prices/{id}"
    yield "POST", prices, _price_create_params.PriceCreateParams, catalogue.create_price
    yield "GET", prices, _price_list_params.PriceListParams, catalogue.list_prices
    yield "POST", price, _price_update_params.PriceUpdateParams, catalogue.update_price
    yield "GET", price, Nothing, _retrieve(objects.prices, "price")
    portal, checkout = "/v1/billing_portal/sessions", "/v1/checkout/sessions"
    yield "POST", portal, _portal_params.SessionCreateParams, catalogue.open_portal
    yield "POST", checkout, _checkout_params.SessionCreateParams, catalogue.open_checkout


def _meters(fake: "FakeStripe") -> Iterator[Endpoint]:
    meters, meter = "/v1/billing/meters", "/v1/billing/meters/{id}"
    yield "POST", meters, _meter_create_params.MeterCreateParams, fake.catalogue.create_meter
    yield "GET", meters, _meter_list_params.MeterListParams, fake.catalogue.list_meters
    yield "GET", meter, Nothing, _retrieve(fake.objects.meters, "meter")

    def summaries(params: Json, meter_id: str) -> Json:
        meter = found(fake.objects.meters, "meter", meter_id)
        rows = fake.metering.summaries(meter, params, empty_windows=fake.empty_windows)
        url = f"/v1/billing/meters/{meter_id}/event_summaries"
        return page(url, rows, params, newest_first=True)

    listed = _meter_event_summary_list_params.MeterEventSummaryListParams
    yield "GET", f"{meter}/event_summaries", listed, summaries

    def adjust(params: Json, _: str) -> Json:
        identifier = params.get("cancel", {}).get("identifier")
        if identifier is None:
            raise Refused(
                "Missing required param: cancel[identifier].",
                code="parameter_missing",
                param="cancel[identifier]",
            )
        fake.metering.cancel(params["event_name"], identifier, fake.now())
        return {
            "object": "billing.meter_event_adjustment",
            "livemode": False,
            "status": "pending",
            **params,
        }

    adjusted = _meter_event_adjustment_create_params.MeterEventAdjustmentCreateParams
    yield "POST", "/v1/billing/meter_event_adjustments", adjusted, adjust

    def event(_: Json, event_id: str) -> Json:
        return found(fake.thin_events, "event", event_id)

    yield "GET", "/v2/core/events/{id}", Nothing, event


def _retrieve(rows: dict[str, Json], kind: str) -> Callable[[Json, str], Json]:
    return lambda _, name: found(rows, kind, name)
