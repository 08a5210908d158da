"""Makes what is billed by at Stripe: meters, products and prices, each of them once."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal

from deploy.billing.stripe_calls import StripeRefused, asked, is_missing
from schemas.meters import Meter, Meters
from schemas.plans import Catalogue, Plan

if TYPE_CHECKING:
    from stripe import Price, StripeClient
    from stripe.billing import Meter as StripeMeter
    from stripe.params import PriceCreateParams, PriceCreateParamsRecurring
    from stripe.params.billing import MeterListParams

Outcome = Literal["made", "is there", "replaced"]

CUSTOMER_KEY: Final = "stripe_customer_id"
VALUE_KEY: Final = "value"
"""The members of a meter event's payload that name the customer and hold the units."""

_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Done:
    """A thing at Stripe and what became of it; `note` says how it was before."""

    kind: Literal["meter", "product", "price"]
    name: str
    id: str
    outcome: Outcome
    note: str = ""


async def set_up(
    client: "StripeClient", meters: Meters, catalogue: Catalogue, say: Callable[[Done], None]
) -> None:
    """Makes what is missing and replaces prices that differ, and says each.

    Raises as `asked` does, and StripeRefused for a meter that counts otherwise.
    """
    there = await _meters_by_event_name(client)
    for meter in meters.meters.values():
        of_stripe = await _meter(client, meter, there.get(meter.name, []), say)
        product = await _product(client, meter.lookup_key, meter.title, say)
        wanted: PriceCreateParams = {
            "currency": meters.currency,
            "unit_amount_decimal": meter.unit_amount,
            "recurring": {"interval": "month", "usage_type": "metered", "meter": of_stripe.id},
            "product": product,
            "lookup_key": meter.lookup_key,
        }
        await _price(client, wanted, say, {})
    for plan in catalogue.plans.values():
        if plan.price > 0:
            await _plan(client, plan, catalogue.currency, say)


async def _plan(
    client: "StripeClient", plan: Plan, currency: str, say: Callable[[Done], None]
) -> None:
    product = await _product(client, f"weir_plan_{plan.name}", plan.title, say)
    metadata = {"weir_plan": plan.name}
    wanted: PriceCreateParams = {
        "currency": currency,
        "unit_amount": plan.price,
        "recurring": {"interval": "month"},
        "product": product,
        "lookup_key": plan.lookup_key,
        "metadata": metadata,
    }
    await _price(client, wanted, say, metadata)


async def _meters_by_event_name(client: "StripeClient") -> "dict[str, list[StripeMeter]]":
    found: dict[str, list[StripeMeter]] = {}
    for meter in await all_meters(client):
        found.setdefault(meter.event_name, []).append(meter)
    return found


async def all_meters(client: "StripeClient") -> "list[StripeMeter]":
    """Every meter of the account, the inactive ones too."""
    params: MeterListParams = {"limit": _PAGE}
    meters: list[StripeMeter] = []
    while True:
        page = await asked(lambda: client.v1.billing.meters.list_async(params))
        meters += page.data
        if not page.has_more:
            return meters
        params["starting_after"] = meters[-1].id


async def _meter(
    client: "StripeClient", meter: Meter, there: "list[StripeMeter]", say: Callable[[Done], None]
) -> "StripeMeter":
    for each in there:
        if each.status == "active":
            _refuse_other_counting(each)
            say(Done("meter", meter.name, each.id, "is there"))
            return each
    made = await asked(
        lambda: client.v1.billing.meters.create_async(
            {
                "event_name": meter.name,
                "display_name": meter.title,
                "default_aggregation": {"formula": "sum"},
                "customer_mapping": {"type": "by_id", "event_payload_key": CUSTOMER_KEY},
                "value_settings": {"event_payload_key": VALUE_KEY},
            },
            # The inactive ones are in it: made again within a day, it must not be the first again.
            {"idempotency_key": _key("meter", meter.name, meter.title, *(m.id for m in there))},
        )
    )
    say(Done("meter", meter.name, made.id, "made"))
    return made


def _refuse_other_counting(meter: "StripeMeter") -> None:
    if (
        meter.default_aggregation.formula != "sum"
        or meter.customer_mapping.event_payload_key != CUSTOMER_KEY
        or meter.value_settings.event_payload_key != VALUE_KEY
    ):
        raise StripeRefused(
            f"the meter {meter.event_name} ({meter.id}) at Stripe does not sum up `{VALUE_KEY}` by "
            f"`{CUSTOMER_KEY}`, and a meter cannot be changed; deactivate it at Stripe and run "
            "this again, or give the meter another name in meters.toml"
        )


async def _product(
    client: "StripeClient", product_id: str, title: str, say: Callable[[Done], None]
) -> str:
    import stripe

    async def found() -> bool:
        try:
            await client.v1.products.retrieve_async(product_id)
        except stripe.InvalidRequestError as error:
            if is_missing(error):
                return False
            raise
        return True

    if await asked(found):
        say(Done("product", product_id, product_id, "is there"))
        return product_id
    await asked(
        lambda: client.v1.products.create_async(
            {"id": product_id, "name": title},
            {"idempotency_key": _key("product", product_id, title)},
        )
    )
    say(Done("product", product_id, product_id, "made"))
    return product_id


async def _price(
    client: "StripeClient",
    wanted: "PriceCreateParams",
    say: Callable[[Done], None],
    metadata: dict[str, str],
) -> None:
    name = wanted["lookup_key"]
    listed = await asked(lambda: client.v1.prices.list_async({"lookup_keys": [name], "limit": 1}))
    old = listed.data[0] if listed.data else None
    if old is not None and _is(old, wanted, metadata):
        say(Done("price", name, old.id, "is there"))
        return
    params: PriceCreateParams = wanted
    if old is not None:
        params = {**wanted, "transfer_lookup_key": True}
    text = json.dumps(params, default=str, sort_keys=True)
    made = await asked(
        lambda: client.v1.prices.create_async(
            params,
            # The old one is in it: back to an earlier amount within a day is a new price too.
            {"idempotency_key": _key("price", text, "" if old is None else old.id)},
        )
    )
    if old is None:
        say(Done("price", name, made.id, "made"))
    else:
        note = f"was {_amount(old)} {old.currency} ({old.id}), which subscriptions on it keep"
        say(Done("price", name, made.id, "replaced", note))


def _is(price: "Price", wanted: "PriceCreateParams", metadata: dict[str, str]) -> bool:
    recurring: PriceCreateParamsRecurring = wanted["recurring"]
    amount = wanted.get("unit_amount_decimal", wanted.get("unit_amount"))
    there = price.recurring
    return (
        price.active
        and price.currency == wanted["currency"]
        and _amount(price) == Decimal(amount or 0)
        and there is not None
        and there.interval == recurring["interval"]
        and there.interval_count == 1
        and there.usage_type == recurring.get("usage_type", "licensed")
        and there.meter == recurring.get("meter")
        and all(
            name in price.metadata and price.metadata[name] == value
            for name, value in metadata.items()
        )
    )


def _amount(price: "Price") -> Decimal:
    """In hundredths of the currency."""
    if price.unit_amount_decimal is not None:
        return Decimal(price.unit_amount_decimal)
    return Decimal(price.unit_amount or 0)


def _key(*parts: str) -> str:
    """The Idempotency-Key of a call that makes this: the same thing, the same key."""
    return f"weir-setup-{sha256(chr(0).join(parts).encode()).hexdigest()}"
