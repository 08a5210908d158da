"""What can be bought and how: meters, products, prices, and the sessions that sell them."""

from decimal import Decimal
from typing import Final

from tests.stripe_fake.answers import Json, Refused
from tests.stripe_fake.objects import Objects, filtered, found, page, update

MOST_LOOKUP_KEYS: Final = 10


class Catalogue:
    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def create_meter(self, params: Json, _: str = "") -> Json:
        event_name = params["event_name"]
        for meter in self._objects.meters.values():
            if meter["event_name"] == event_name and meter["status"] == "active":
                raise Refused(
                    f"An active meter with event name {event_name} already exists.",
                    param="event_name",
                )
        meter = self._objects.made(
            "mtr",
            "billing.meter",
            {
                "customer_mapping": {"event_payload_key": "stripe_customer_id", "type": "by_id"},
                "value_settings": {"event_payload_key": "value"},
                "event_time_window": None,
                "status": "active",
                "status_transitions": {"deactivated_at": None},
                **params,
            },
        )
        meter["updated"] = meter["created"]
        self._objects.meters[meter["id"]] = meter
        return meter

    def list_meters(self, params: Json, _: str) -> Json:
        rows = filtered(list(self._objects.meters.values()), params, {"status": "status"})
        return page("/v1/billing/meters", rows, params)

    def create_product(self, params: Json, _: str = "") -> Json:
        if params.get("id") in self._objects.products:
            raise Refused("Product already exists.", code="resource_already_exists", param="id")
        defaults: Json = {"active": True, "description": None, "metadata": {}, "images": []}
        product = self._objects.made("prod", "product", {**defaults, **params})
        product["updated"] = product["created"]
        self._objects.products[product["id"]] = product
        return product

    def update_product(self, params: Json, product_id: str) -> Json:
        product = found(self._objects.products, "product", product_id)
        update(product, params)
        return product

    def list_products(self, params: Json, _: str) -> Json:
        rows = list(self._objects.products.values())
        if "ids" in params:
            rows = [row for row in rows if row["id"] in params["ids"]]
        params = {name: value for name, value in params.items() if name != "ids"}
        return page("/v1/products", filtered(rows, params, {"active": "active"}), params)

    def create_price(self, params: Json, _: str = "") -> Json:
        params = dict(params)
        found(self._objects.products, "product", params.get("product", ""), param="product")
        amounts = _amounts(params)
        recurring = params.pop("recurring", None)
        self._take_lookup_key(params, None)
        defaults: Json = {
            "active": True,
            "billing_scheme": "per_unit",
            "lookup_key": None,
            "nickname": None,
            "metadata": {},
            "type": "recurring" if recurring else "one_time",
            "recurring": self._recurring(recurring),
        }
        price = self._objects.made("price", "price", {**defaults, **params, **amounts})
        self._objects.prices[price["id"]] = price
        return price

    def update_price(self, params: Json, price_id: str) -> Json:
        price = found(self._objects.prices, "price", price_id)
        params = dict(params)
        self._take_lookup_key(params, price_id)
        update(price, params)
        return price

    def list_prices(self, params: Json, _: str) -> Json:
        rows = list(self._objects.prices.values())
        params = dict(params)
        keys = params.pop("lookup_keys", None)
        if keys is not None:
            if len(keys) > MOST_LOOKUP_KEYS:
                raise Refused("You may only specify up to 10 lookup_keys.", param="lookup_keys")
            rows = [row for row in rows if row["lookup_key"] in keys]
        for name, value in params.pop("recurring", {}).items():
            rows = [row for row in rows if row["recurring"] and row["recurring"][name] == value]
        names = {name: name for name in ("active", "product", "currency", "type")}
        return page("/v1/prices", filtered(rows, params, names), params)

    def open_portal(self, params: Json, _: str = "") -> Json:
        if "customer" not in params:
            raise Refused("You must provide a customer.", code="parameter_missing")
        self._objects.usable_customer(params["customer"], "customer")
        return self._objects.create_session(
            "bps", "billing_portal.session", "billing.stripe.com/p/session", params
        )

    def open_checkout(self, params: Json, _: str = "") -> Json:
        if "success_url" not in params:
            raise Refused(
                "Missing required param: success_url.",
                code="parameter_missing",
                param="success_url",
            )
        if "customer" in params:
            self._objects.usable_customer(params["customer"], "customer")
        for number, item in enumerate(params.get("line_items", ())):
            self._check_line(item, f"line_items[{number}]", params["mode"])
        fields = {"status": "open", "metadata": {}, **params}
        return self._objects.create_session(
            "cs_test", "checkout.session", "checkout.stripe.com/c/pay", fields
        )

    def _check_line(self, item: Json, at: str, mode: str) -> None:
        if "price" not in item:
            raise Refused(f"Missing required param: {at}[price].", param=f"{at}[price]")
        price = found(self._objects.prices, "price", item["price"], param=f"{at}[price]")
        recurring = price["recurring"]
        metered = bool(recurring) and recurring["usage_type"] == "metered"
        if metered and "quantity" in item:
            raise Refused(
                "Quantity should not be specified where usage_type is `metered`.",
                param=f"{at}[quantity]",
            )
        if not metered and "quantity" not in item:
            raise Refused("Quantity is required.", param=f"{at}[quantity]")
        if recurring and mode != "subscription":
            raise Refused(
                "You specified `payment` mode but passed a recurring price.", param="mode"
            )

    def _recurring(self, recurring: Json) -> Json:
        if recurring is None:
            return None
        recurring = {
            "interval_count": 1,
            "meter": None,
            "trial_period_days": None,
            "usage_type": "licensed",
            **recurring,
        }
        if recurring["usage_type"] == "metered":
            if recurring["meter"] is None:
                # Since API version 2025-03-31.basil.
                raise Refused(
                    "All metered prices must be backed by a meter.", param="recurring[meter]"
                )
            found(self._objects.meters, "meter", recurring["meter"], param="recurring[meter]")
        return recurring

    def _take_lookup_key(self, params: Json, price_id: str | None) -> None:
        transfer = params.pop("transfer_lookup_key", False)
        key = params.get("lookup_key")
        for price in self._objects.prices.values():
            if key and price["lookup_key"] == key and price["id"] != price_id:
                if not transfer:
                    raise Refused(
                        f"A price (`{price['id']}`) already uses that lookup key.",
                        param="lookup_key",
                    )
                price["lookup_key"] = None


def _amounts(params: Json) -> Json:
    """Both amounts, in cents: Stripe answers a decimal one as text, a broken one not whole."""
    given = [params[name] for name in ("unit_amount", "unit_amount_decimal") if name in params]
    if len(given) != 1:
        raise Refused("Specify exactly one of unit_amount and unit_amount_decimal.")
    amount = Decimal(given[0])
    if amount < 0:
        raise Refused("Invalid non-negative integer", param="unit_amount")
    whole = amount == amount.to_integral_value()
    return {
        "unit_amount": int(amount) if whole else None,
        "unit_amount_decimal": format(amount.normalize(), "f"),
    }
