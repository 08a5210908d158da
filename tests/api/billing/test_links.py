"""Stripe's own pages for a user, against a fake of Stripe."""

from copy import copy
from typing import Final
from uuid import uuid4

import pytest

from deploy.local.ports import free_port
from tests.api.billing.conftest import Billed
from tests.api.billing.told import linked, tell
from tests.api.quotas.people import Person, somebody
from tests.stripe_fake import KEY
from tests.weir import Json, Weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]

PORTAL: Final = "/api/user/billing/portal"
CHECKOUT: Final = "/api/user/billing/checkout"
PRO: Final = {"plan": "pro"}


@pytest.fixture
def pro(billed: Billed) -> str:
    """The id of the price of `pro`, which is sold."""
    objects = billed.stripe.objects
    for price in objects.prices.values():
        if price["lookup_key"] == "weir_pro_monthly":
            return str(price["id"])
    product = billed.stripe.catalogue.create_product({"name": "Pro"})
    price = billed.stripe.catalogue.create_price(
        {
            "product": product["id"],
            "currency": "usd",
            "unit_amount": 1_900,
            "recurring": {"interval": "month"},
            "lookup_key": "weir_pro_monthly",
        }
    )
    return str(price["id"])


async def a_customer(billed: Billed) -> tuple[Person, str]:
    """One who subscribed once."""
    person = somebody(billed.weir)
    customer_id = str(billed.stripe.objects.create_customer({})["id"])
    await tell(billed.weir, [linked(person, customer_id, status="canceled")])
    return person, customer_id


def session(billed: Billed, url: str) -> Json:
    [found] = [each for each in billed.stripe.objects.sessions.values() if each["url"] == url]
    return found


async def test_a_customer_gets_to_the_portal(billed: Billed) -> None:
    person, customer_id = await a_customer(billed)
    answer = await person.ask("POST", PORTAL)
    assert answer.status == 200, answer.body
    assert answer.headers["Cache-Control"] == "private, no-store"
    opened = session(billed, answer.json["url"])
    assert opened["customer"] == customer_id
    assert opened["return_url"] == f"{billed.weir.url}/plan"


async def test_who_is_no_customer_is_told_to_start_with_the_checkout(billed: Billed) -> None:
    answer = await somebody(billed.weir).ask("POST", PORTAL)
    assert CHECKOUT in answer.problem(409)["detail"]


async def test_who_was_deleted_at_stripe_is_no_customer(billed: Billed, pro: str) -> None:
    person, customer_id = await a_customer(billed)
    billed.stripe.objects.delete_customer({}, customer_id)
    assert CHECKOUT in (await person.ask("POST", PORTAL)).problem(409)["detail"]
    answer = await person.ask("POST", CHECKOUT, PRO)
    assert answer.status == 200, answer.body
    assert session(billed, answer.json["url"])["customer"] != customer_id


async def test_who_was_given_to_another_user_is_that_ones_customer(
    billed: Billed, pro: str
) -> None:
    person, customer_id = await a_customer(billed)
    customer = billed.stripe.objects.customers[customer_id]
    customer["metadata"] = {"user_id": "somebody-else"}
    assert CHECKOUT in (await person.ask("POST", PORTAL)).problem(409)["detail"]
    answer = await person.ask("POST", CHECKOUT, PRO)
    assert session(billed, answer.json["url"])["customer"] != customer_id


async def test_two_pages_at_once_are_of_one_customer(billed: Billed, pro: str) -> None:
    person = somebody(billed.weir)
    pages = [(await person.ask("POST", CHECKOUT, PRO)).json["url"] for _ in range(2)]
    customers = {session(billed, url)["customer"] for url in pages}
    assert len(customers) == 1
    [customer_id] = customers
    made = billed.stripe.objects.customers[customer_id]
    assert made["metadata"] == {"user_id": person.user_id}


async def test_a_user_gets_to_the_checkout_of_a_plan(billed: Billed, pro: str) -> None:
    person = somebody(billed.weir)
    answer = await person.ask("POST", CHECKOUT, PRO)
    assert answer.status == 200, answer.body
    assert answer.headers["Cache-Control"] == "private, no-store"
    opened = session(billed, answer.json["url"])
    assert opened["mode"] == "subscription"
    assert opened["line_items"] == [{"price": pro, "quantity": 1}]
    assert opened["client_reference_id"] == person.user_id
    assert opened["metadata"] == {"user_id": person.user_id}
    assert opened["subscription_data"] == {"metadata": {"user_id": person.user_id}}
    assert opened["success_url"] == f"{billed.weir.url}/plan?checkout=success"
    assert opened["cancel_url"] == f"{billed.weir.url}/plan?checkout=cancelled"
    assert billed.stripe.objects.customers[opened["customer"]]["metadata"] == {
        "user_id": person.user_id
    }


async def test_what_is_metered_is_part_of_the_subscription(billed: Billed, pro: str) -> None:
    """Else it would be counted and never invoiced."""
    catalogue = billed.stripe.catalogue
    meter = catalogue.create_meter(
        {
            "display_name": "Conversions",
            "event_name": "conversions",
            "default_aggregation": {"formula": "sum"},
        }
    )
    product = catalogue.create_product({"name": "Conversions"})
    metered = catalogue.create_price(
        {
            "product": product["id"],
            "currency": "usd",
            "unit_amount_decimal": "2",
            "recurring": {"interval": "month", "usage_type": "metered", "meter": meter["id"]},
            "lookup_key": "weir_meter_conversions",
        }
    )
    try:
        answer = await somebody(billed.weir).ask("POST", CHECKOUT, PRO)
        opened = session(billed, answer.json["url"])
    finally:
        # Others look at a checkout without it.
        billed.stripe.objects.prices.pop(metered["id"])
    assert opened["line_items"] == [{"price": pro, "quantity": 1}, {"price": metered["id"]}]


@pytest.mark.parametrize("status", ["trialing", "active", "past_due"])
async def test_who_subscribes_already_does_not_pay_twice(
    billed: Billed, pro: str, status: str
) -> None:
    person = somebody(billed.weir)
    customer_id = str(billed.stripe.objects.create_customer({})["id"])
    subscribed = linked(person, customer_id).model_copy(update={"status": status})
    await tell(billed.weir, [subscribed])
    answer = await person.ask("POST", CHECKOUT, PRO)
    assert PORTAL in answer.problem(409)["detail"]


async def test_a_customer_stays_the_same_one(billed: Billed, pro: str) -> None:
    person, customer_id = await a_customer(billed)
    answer = await person.ask("POST", CHECKOUT, PRO)
    assert session(billed, answer.json["url"])["customer"] == customer_id


async def test_a_user_whose_name_is_too_long_for_a_reference_is_named_all_the_same(
    billed: Billed, pro: str
) -> None:
    person = Person(billed.weir, f"https://login.example.com/{uuid4()}".ljust(256, "é"))
    answer = await person.ask("POST", CHECKOUT, PRO)
    assert answer.status == 200, answer.body
    opened = session(billed, answer.json["url"])
    assert "client_reference_id" not in opened
    assert opened["metadata"] == {"user_id": person.user_id}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"plan": "gold"}, "GET /api/plans"),
        ({"plan": "free"}, "not sold"),
        ({"plan": "business"}, "no price at Stripe"),
        ({"plan": "Pro!"}, "GET /api/plans"),
        ({"plan": 7}, "string"),
        ({}, "required"),
    ],
)
async def test_a_plan_that_cannot_be_bought_is_named(
    billed: Billed, pro: str, document: Json, said: str
) -> None:
    answer = await somebody(billed.weir).ask("POST", CHECKOUT, document)
    assert said in answer.problem(422, "plan")["detail"]


async def test_without_a_key_it_says_which_setting_is_missing(unbilled: Weir) -> None:
    person = somebody(unbilled)
    for path, document in ((PORTAL, None), (CHECKOUT, PRO)):
        answer = await person.ask("POST", path, document)
        problem = answer.problem(503)
        assert "STRIPE_API_KEY" in problem["detail"]
        assert problem["code"] == "stripe_not_set_up"
        assert int(answer.headers["Retry-After"]) > 0
    # What was used is shown without Stripe.
    assert (await person.ask("GET", "/api/user/billing")).status == 200


async def test_a_key_that_stripe_refuses_is_said_without_the_key(billed: Billed, pro: str) -> None:
    person, _ = await a_customer(billed)
    billed.stripe.key_valid = False
    try:
        for path, document in ((PORTAL, None), (CHECKOUT, PRO)):
            answer = await person.ask("POST", path, document)
            problem = answer.problem(503)
            assert "STRIPE_API_KEY" in problem["detail"]
            assert b"sk_test" not in answer.body
    finally:
        billed.stripe.key_valid = True


async def test_while_stripe_is_away_one_is_asked_to_come_again(unbilled: Weir) -> None:
    weir = copy(unbilled)
    key = f"sk_test_{uuid4().hex}"
    await weir.start_api(
        {
            "WEIR_AUTH": "required",
            "STRIPE_API_KEY": key,
            "STRIPE_API_BASE": f"http://127.0.0.1:{free_port()}",
        }
    )
    answer = await somebody(weir).ask("POST", CHECKOUT, PRO)
    assert "Stripe cannot be reached" in answer.problem(503)["detail"]
    assert "Retry-After" in answer.headers

    async def logged() -> bool:
        return any("Stripe did not answer" in each for each in weir.processes[-1].last_lines(200))

    await weir.eventually(logged)
    assert key not in weir.processes[-1].log.read_text()


async def test_no_key_no_session_and_no_user_is_logged(billed: Billed, pro: str) -> None:
    person, customer_id = await a_customer(billed)
    urls = [
        (await person.ask("POST", path, document)).json["url"]
        for path, document in ((PORTAL, None), (CHECKOUT, PRO))
    ]
    log = "\n".join(
        line
        for process in billed.weir.processes
        if process.name.endswith("-api")
        for line in process.last_lines(1_000)
    )
    for secret in (KEY, KEY[:12], customer_id, person.user_id, *urls):
        assert secret not in log
