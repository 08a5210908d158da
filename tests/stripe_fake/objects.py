"""Stripe's objects that are kept: customers, subscriptions, products, prices, meters, sessions."""

import operator
from collections.abc import Callable, Mapping
from itertools import count
from typing import Final

from tests.stripe_fake.answers import Json, Refused

ENDED: Final = {"canceled", "incomplete_expired"}
COMPARED: Final[dict[str, Callable[[int, int], bool]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
PAGING: Final = {"limit", "starting_after", "ending_before"}


class Unsupported(Refused):
    """A parameter of Stripe's which this fake does not act on."""


class Objects:
    """`now` gives Unix seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.customers: dict[str, Json] = {}
        self.subscriptions: dict[str, Json] = {}
        self.products: dict[str, Json] = {}
        self.prices: dict[str, Json] = {}
        self.meters: dict[str, Json] = {}
        self.sessions: dict[str, Json] = {}
        self._now = now
        self._numbers = count(1)

    def made(self, prefix: str, kind: str, fields: Mapping[str, Json]) -> Json:
        """A new object's JSON; `fields` may name its id and creation."""
        return {
            "id": f"{prefix}_fake{next(self._numbers):012d}",
            "object": kind,
            "created": int(self._now()),
            "livemode": False,
            **fields,
        }

    def create_customer(self, params: Json, _: str = "") -> Json:
        defaults = dict.fromkeys(("email", "name", "description", "phone", "address"))
        customer = self.made("cus", "customer", {**defaults, "metadata": {}, **params})
        self.customers[customer["id"]] = customer
        return customer

    def update_customer(self, params: Json, customer_id: str) -> Json:
        customer = self.usable_customer(customer_id)
        update(customer, params)
        return customer

    def delete_customer(self, _: Json, customer_id: str) -> Json:
        self.usable_customer(customer_id)
        gone = {"id": customer_id, "object": "customer", "deleted": True}
        self.customers[customer_id] = gone
        for subscription in self.subscriptions.values():
            if subscription["customer"] == customer_id and subscription["status"] not in ENDED:
                subscription.update(status="canceled", ended_at=int(self._now()))
        return gone

    def usable_customer(self, customer_id: str, param: str = "id") -> Json:
        customer = found(self.customers, "customer", customer_id, param=param)
        if customer.get("deleted"):
            raise missing("customer", customer_id, param=param)
        return customer

    def list_customers(self, params: Json, _: str) -> Json:
        rows = [row for row in self.customers.values() if not row.get("deleted")]
        return page("/v1/customers", filtered(rows, params, {"email": "email"}), params)

    def put_subscription(self, fields: Json) -> Json:
        """Creates or replaces a subscription.

        Short for `items`: `prices`, of price ids, lookup keys or price objects, and the items'
        `current_period_start` and `current_period_end`.
        """
        fields = dict(fields)
        now = int(self._now())
        start = fields.pop("current_period_start", now)
        end = fields.pop("current_period_end", start + 30 * 86_400)
        rows = [
            self.made(
                "si",
                "subscription_item",
                {
                    "current_period_start": start,
                    "current_period_end": end,
                    "metadata": {},
                    "price": self._price(price),
                },
            )
            for price in fields.pop("prices", ())
        ]
        defaults: Json = {
            "status": "active",
            "cancel_at_period_end": False,
            "cancel_at": None,
            "canceled_at": None,
            "ended_at": None,
            "trial_end": None,
            "metadata": {},
            "start_date": now,
        }
        subscription = self.made("sub", "subscription", {**defaults, **fields})
        subscription.setdefault(
            "items",
            {
                "object": "list",
                "data": rows,
                "has_more": False,
                "url": f"/v1/subscription_items?subscription={subscription['id']}",
            },
        )
        if subscription["customer"] not in self.customers:
            self.create_customer({"id": subscription["customer"]})
        self.subscriptions[subscription["id"]] = subscription
        return subscription

    def list_subscriptions(self, params: Json, _: str) -> Json:
        customer = params.get("customer")
        if customer is not None:
            found(self.customers, "customer", customer, param="customer")
        status = params.get("status")
        rows = [
            row
            for row in self.subscriptions.values()
            if customer in (None, row["customer"]) and _has_status(row, status)
        ]
        params = {name: value for name, value in params.items() if name not in FILTERED}
        return page("/v1/subscriptions", filtered(rows, params, {}), params)

    def create_session(self, prefix: str, kind: str, site: str, params: Json) -> Json:
        session = self.made(prefix, kind, params)
        session["url"] = f"https://{site}/{session['id']}"
        self.sessions[session["id"]] = session
        return session

    def _price(self, price: Json) -> Json:
        if not isinstance(price, str):
            return {"object": "price", "lookup_key": None, "product": None, **price}
        for each in self.prices.values():
            if price in (each["id"], each["lookup_key"]):
                return each
        raise missing("price", price)


FILTERED: Final = {"customer", "status"}


def _has_status(subscription: Mapping[str, object], status: str | None) -> bool:
    if status == "all":
        return True
    if status is None:
        return subscription["status"] != "canceled"
    return subscription["status"] in (ENDED if status == "ended" else {status})


def found(rows: Mapping[str, Json], kind: str, name: str, *, param: str = "id") -> Json:
    try:
        return rows[name]
    except KeyError:
        raise missing(kind, name, param=param) from None


def missing(kind: str, name: str, *, param: str = "id") -> Refused:
    """Stripe's error for an unknown object: 404 in the URL, 400 in a parameter."""
    return Refused(
        f"No such {kind}: '{name}'",
        status=404 if param == "id" else 400,
        code="resource_missing",
        param=param,
    )


def update(row: Json, params: Json) -> None:
    """Merges metadata, where an empty value unsets; replaces all else, where '' clears."""
    for name, value in params.items():
        if name == "metadata":
            merged = {**row["metadata"], **value} if value else {}
            row["metadata"] = {key: text for key, text in merged.items() if text}
        else:
            row[name] = None if value == "" else value


def filtered(rows: list[Json], params: Json, names: Mapping[str, str]) -> list[Json]:
    """The rows with the values asked for; `names` has an object's field by parameter."""
    for name, wanted in params.items():
        if name in names:
            rows = [row for row in rows if row[names[name]] == wanted]
        elif name == "created":
            rows = [row for row in rows if _within(row["created"], wanted)]
        elif name not in PAGING:
            raise Unsupported(f"The fake does not filter by {name}.", param=name)
    return rows


def _within(at: int, wanted: Json) -> bool:
    if not isinstance(wanted, dict):
        return bool(at == wanted)
    return all(COMPARED[name](at, bound) for name, bound in wanted.items())


def page(url: str, rows: list[Json], params: Json, *, newest_first: bool = False) -> Json:
    """One page of a list, newest first; `rows` are in the order made unless said otherwise."""
    limit = params.get("limit", 10)
    if not 1 <= limit <= 100:
        raise Refused("Invalid limit: must be between 1 and 100.", param="limit")
    if not newest_first:
        rows = rows[::-1]
    ids = [row["id"] for row in rows]
    after, before = params.get("starting_after"), params.get("ending_before")
    try:
        if after is not None:
            rows = rows[ids.index(after) + 1 :]
        elif before is not None:
            rows = rows[: ids.index(before)]
    except ValueError:
        raise Refused(f"No such object: '{after or before}'", code="resource_missing") from None
    shown = rows[:limit] if before is None else rows[-limit:]
    return {"object": "list", "data": shown, "has_more": len(shown) < len(rows), "url": url}
