"""What tests and benches read and set, in JSON under /_fake/."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from tests.stripe_fake.answers import Json
from tests.stripe_fake.faults import RANDOM, Fault
from tests.stripe_fake.metering import MeterEvent
from tests.stripe_fake.webhooks import thin_event

if TYPE_CHECKING:
    from tests.stripe_fake.server import FakeStripe

Handler = Callable[[web.Request], Awaitable[web.Response]]

# What may be set by /_fake/settings.
SETTINGS = ("delay", "strict_meters", "empty_windows")


def add_control(app: web.Application, fake: "FakeStripe") -> None:
    """Each answers 400 with what is wrong when its body has not the keys it needs."""
    for name, act in {
        "faults": _faults,
        "script": _script,
        "customers": _customer,
        "subscriptions": lambda fake, body: fake.objects.put_subscription(body),
        "thin-events": _thin_event,
        "events": _events,
        "key": _key,
        "clock": _clock,
        "settings": _settings,
        "forget-identifiers": _forget,
    }.items():
        app.router.add_post(f"/_fake/{name}", _handler(fake, act))
    for name, show in {"state": state, "objects": _objects, "events": _counted}.items():
        app.router.add_get(f"/_fake/{name}", _showing(fake, show))
    app.router.add_delete("/_fake/subscriptions/{id}", _delete_subscription(fake))


def state(fake: "FakeStripe") -> Json:
    """Sums by customer and event name, and counts of all that happened."""
    return {
        "totals": fake.metering.totals(),
        "counted": fake.metering.counted,
        "calls": fake.calls["POST /v1/billing/meter_events"],
        "calls_by_url": fake.calls,
        "overlaps": fake.locks.overlaps,
        "abandoned_overlaps": fake.locks.abandoned,
        "most_at_once": fake.locks.most_at_once,
        "faults": fake.faults.done,
        "scripted": fake.faults.scripted,
        "wrong": fake.wrong,
        "identifiers": len(fake.metering.identifiers),
    }


def _objects(fake: "FakeStripe") -> Json:
    objects = fake.objects
    return {
        "customers": objects.customers,
        "subscriptions": objects.subscriptions,
        "products": objects.products,
        "prices": objects.prices,
        "meters": objects.meters,
        "sessions": objects.sessions,
    }


def _counted(fake: "FakeStripe") -> Json:
    """Every event that counts, by customer and meter in the order received."""
    return [event for events in fake.metering.events.values() for event in events]


def _showing(fake: "FakeStripe", show: Callable[["FakeStripe"], Json]) -> Handler:
    return _handler(fake, lambda fake, _: show(fake))


def _handler(fake: "FakeStripe", act: Callable[["FakeStripe", Json], Json]) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        sent = await request.read()
        try:
            answer = act(fake, orjson.loads(sent) if sent else {})
        except (KeyError, TypeError, ValueError) as error:
            return web.Response(status=400, text=f"{request.path}: {error!r}")
        return web.Response(body=orjson.dumps(answer), content_type="application/json")

    return handle


def _delete_subscription(fake: "FakeStripe") -> Handler:
    async def handle(request: web.Request) -> web.Response:
        gone = fake.objects.subscriptions.pop(request.match_info["id"], None)
        return web.json_response({"deleted": gone is not None})

    return handle


def _fault(given: Json) -> Fault:
    return Fault.of(given) if isinstance(given, str) else Fault.of(**given)


def _faults(fake: "FakeStripe", body: Json) -> Json:
    faults = [_fault(each) for each in body.get("kinds", RANDOM)]
    fake.faults.at_random(float(body["rate"]), int(body.get("seed", 0)), faults)
    return {}


def _script(fake: "FakeStripe", body: Json) -> Json:
    fake.faults.script([_fault(each) for each in body["faults"]])
    return {"scripted": fake.faults.scripted}


def _customer(fake: "FakeStripe", body: Json) -> Json:
    if body.get("deleted"):
        gone = {"id": body["id"], "object": "customer", "deleted": True}
        fake.objects.customers[body["id"]] = gone
        return gone
    return fake.objects.create_customer(body)


def _thin_event(fake: "FakeStripe", body: Json) -> Json:
    event = orjson.loads(
        thin_event(
            body["type"],
            event_id=body["id"],
            related=body.get("related_object"),
            created=body.get("created", int(fake.now())),
        )
    )
    fake.thin_events[body["id"]] = {**event, **body}
    return fake.thin_events[body["id"]]


def _events(fake: "FakeStripe", body: Json) -> Json:
    """Past all rules: `add` counts events as they are, `remove` takes identifiers out."""
    now = fake.now()
    for event in body.get("add", ()):
        fake.metering.add(MeterEvent(**{"received": now, "timestamp": int(now), **event}))
    remove = body.get("remove", [])
    removed = [
        fake.metering.remove(each) is not None
        for each in ([remove] if isinstance(remove, str) else remove)
    ]
    return {"removed": sum(removed)}


def _key(fake: "FakeStripe", body: Json) -> Json:
    fake.key_valid = bool(body["valid"])
    return {}


def _clock(fake: "FakeStripe", body: Json) -> Json:
    fake.ahead_seconds = float(body["ahead_seconds"])
    return {"now": fake.now()}


def _settings(fake: "FakeStripe", body: Json) -> Json:
    for name, value in body.items():
        if name not in SETTINGS:
            raise ValueError(f"no setting {name}; there are {SETTINGS}")
        setattr(fake, name, value)
    return {}


def _forget(fake: "FakeStripe", _: Json) -> Json:
    """Both the identifiers and the kept answers, as after a day."""
    fake.metering.identifiers.clear()
    fake.kept.forget()
    return {}
