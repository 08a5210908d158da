"""`POST /stripe/webhook`, sent as Stripe sends it, and what of it lies on Kafka."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy
from typing import Final
from uuid import uuid4

import orjson
import pytest

from api.billing.webhook import MAX_BODY_BYTES
from deploy.local.ports import free_port
from schemas.billing import StripeEvent
from tests.api.billing.conftest import OLD_SECRET, SECRET, Billed
from tests.api.log_of_topics import LogOfTopics
from tests.api.requests import Answer, ask
from tests.stripe_fake import signed, snapshot_event, thin_event
from tests.weir import Json, Weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]

WEBHOOK: Final = "/stripe/webhook"
SIGNATURE: Final = "Stripe-Signature"
CUSTOMER: Final = {"id": "cus_1", "object": "customer", "email": "ada@example.com"}


def event(kind: str = "customer.updated", subject: Json = CUSTOMER) -> tuple[str, bytes]:
    """A new event's id and body."""
    name = f"evt_{uuid4().hex}"
    return name, snapshot_event(kind, subject, event_id=name, created=int(time.time()) - 2)


async def send(weir: Weir, body: bytes, *signatures: str) -> Answer:
    async with weir.session.post(
        weir.url + WEBHOOK,
        data=body,
        headers=[("Content-Type", "application/json"), *((SIGNATURE, each) for each in signatures)],
    ) as answer:
        return Answer(answer.status, answer.headers, await answer.read())


def now_signed(body: bytes, secret: str = SECRET, ago: int = 0) -> str:
    return signed(body, secret, int(time.time()) - ago)


class Heard:
    """The messages of `stripe-events` that were published within the block."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, StripeEvent]] = []
        self.text = b""


@asynccontextmanager
async def heard(log: LogOfTopics) -> AsyncIterator[Heard]:
    before = await log.ends()
    found = Heard()
    yield found
    for _, record in await log.since(before):
        assert record.key is not None
        assert record.value is not None
        found.text += record.value
        found.messages.append((record.key.decode(), StripeEvent.model_validate_json(record.value)))


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
async def test_an_event_that_is_signed_lies_on_kafka(
    billed: Billed, stripe_events: LogOfTopics, secret: str
) -> None:
    name, body = event(subject={**CUSTOMER, "metadata": {"user_id": "ada"}})
    async with heard(stripe_events) as messages:
        answer = await send(billed.weir, body, now_signed(body, secret))
        assert (answer.status, answer.json) == (200, {"received": True})
    [(key, told)] = messages.messages
    assert (key, told.event_id, told.type) == ("cus_1", name, "customer.updated")
    assert (told.customer_id, told.user_id, told.thin) == ("cus_1", "ada", False)
    assert b"example.com" not in messages.text


async def test_a_thin_event_lies_there_under_its_own_id(
    billed: Billed, stripe_events: LogOfTopics
) -> None:
    name = f"evt_test_{uuid4().hex}"
    body = thin_event(
        "v1.billing.meter.error_report_triggered",
        event_id=name,
        related={"id": "mtr_1", "type": "billing.meter", "url": "/v1/billing/meters/mtr_1"},
        created=int(time.time()),
    )
    async with heard(stripe_events) as messages:
        assert (await send(billed.weir, body, now_signed(body))).status == 200
    [(key, told)] = messages.messages
    assert (key, told.event_id, told.thin, told.customer_id) == (name, name, True, None)


async def test_what_nothing_acts_on_is_received_and_published_by_nobody(
    billed: Billed, stripe_events: LogOfTopics
) -> None:
    _, body = event("charge.succeeded", {"id": "ch_1", "object": "charge", "customer": "cus_1"})
    async with heard(stripe_events) as messages:
        answer = await send(billed.weir, body, now_signed(body))
        assert (answer.status, answer.json) == (200, {"received": True, "ignored": True})
    assert messages.messages == []


async def test_what_is_not_signed_by_stripe_now_is_refused_and_published_by_nobody(
    billed: Billed, stripe_events: LogOfTopics
) -> None:
    weir = billed.weir
    _, body = event()
    good = now_signed(body)
    async with heard(stripe_events) as messages:
        for said, signatures in (
            ("is required", []),
            ("does not hold", [""]),
            ("does not hold", ["x"]),
            ("another secret", [now_signed(body, "whsec_forged")]),
            ("does not hold", [now_signed(body + b" ")]),
            ("300 seconds ago", [now_signed(body, ago=302)]),
            ("300 seconds from now", [now_signed(body, ago=-305)]),
            ("no signature", [good.replace("v1=", "v0=")]),
            ("no time", [good.replace("t=", "t=x")]),
            ("given twice", [good, good]),
        ):
            problem = (await send(weir, body, *signatures)).problem(400, SIGNATURE)
            assert said in problem["detail"]
            assert "whsec" not in problem["detail"]
    assert messages.messages == []
    # None of it has used the good one up.
    assert (await send(weir, body, good)).status == 200


async def test_of_the_same_delivery_one_is_taken(
    billed: Billed, stripe_events: LogOfTopics
) -> None:
    _, body = event()
    header = now_signed(body)
    async with heard(stripe_events) as messages:
        answers = await asyncio.gather(*(send(billed.weir, body, header) for _ in range(10)))
        assert sorted(each.status for each in answers) == [200, *(9 * [400])]
        for changed in (header, f"{header},v0=x", f"v1={64 * '0'},{header}"):
            replayed = await send(billed.weir, body, changed)
            assert "used before" in replayed.problem(400, SIGNATURE)["detail"]
        # Stripe's own repetition is signed anew, and is another delivery of the event.
        assert (await send(billed.weir, body, now_signed(body, ago=10))).status == 200
    assert len(messages.messages) == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        (b'{"object": "event", "type": "customer.updated"}', "id"),
        (b'{"object": "event", "id": "evt_1"}', "type"),
    ],
)
async def test_a_signed_body_that_is_no_event_is_refused(
    billed: Billed, stripe_events: LogOfTopics, body: bytes, field: str
) -> None:
    async with heard(stripe_events) as messages:
        (await send(billed.weir, body, now_signed(body))).problem(400, field)
    assert messages.messages == []


async def test_a_body_beyond_the_bound_is_refused(billed: Billed) -> None:
    _, body = event(subject={**CUSTOMER, "description": MAX_BODY_BYTES * "x"})
    (await send(billed.weir, body, now_signed(body))).problem(413, "body")

    async def in_pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    answer = await ask(billed.weir, "POST", WEBHOOK, in_pieces(), {SIGNATURE: now_signed(body)})
    answer.problem(413, "body")
    largest = body[: MAX_BODY_BYTES - len(body)].replace(b"}", b" ")
    (await send(billed.weir, largest, now_signed(largest))).problem(400, "body")


async def test_without_a_secret_it_says_which_setting_is_missing(unbilled: Weir) -> None:
    _, body = event()
    answer = await send(unbilled, body, now_signed(body))
    assert "STRIPE_WEBHOOK_SECRET" in answer.problem(503)["detail"]
    assert int(answer.headers["Retry-After"]) > 0


async def test_while_kafka_is_away_the_same_may_be_sent_again(unbilled: Weir) -> None:
    weir = copy(unbilled)
    weir.launch_edge_alone(
        {
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
            "WEIR_PUBLISH_TIMEOUT": "1",
            "STRIPE_WEBHOOK_SECRET": SECRET,
        }
    )

    async def listens() -> bool:
        try:
            return (await ask(weir, "GET", "/healthz")).status == 200
        except OSError:
            return False

    await weir.eventually(listens)
    _, body = event()
    header = now_signed(body)
    for _ in range(2):
        answer = await send(weir, body, header)
        assert "Kafka" in answer.problem(503)["detail"]
        assert "Retry-After" in answer.headers
    log = "\n".join(weir.processes[-1].last_lines(200))
    assert SECRET not in log
    assert "ada@example.com" not in log


async def test_no_secret_and_nothing_about_a_person_is_logged(billed: Billed) -> None:
    _, body = event()
    assert (await send(billed.weir, body, now_signed(body))).status == 200
    assert (await send(billed.weir, body, now_signed(body, "whsec_forged"))).status == 400

    def log() -> str:
        apis = [each for each in billed.weir.processes if each.name.endswith("-api")]
        return "".join(each.log.read_text() for each in apis)

    async def told() -> bool:
        return "credentials were refused" in log()

    await billed.weir.eventually(told)
    assert orjson.loads(body)["id"] not in log()
    for secret in (SECRET, OLD_SECRET, "example.com"):
        assert secret not in log()
