"""`weir stripe setup` against a fake Stripe: what it makes, once, and what it refuses."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.local.ports import free_port
from tests.deploy.billing.command_line import Account, opened_account
from tests.weir import Json

pytestmark = pytest.mark.services

METERS = """
currency = "eur"
[meters.conversions]
title = "Conversions"
event_type = "conversion"
value = "value"
unit_amount = {conversions}
[meters.signups]
title = "Signups"
event_type = "signup"
unit_amount = 150
"""
PLANS = """
version = 1
currency = "eur"
default = "free"
[plans.free]
title = "Free"
limit = 100
[plans.pro]
title = "Pro"
limit = 1_000
price = {pro}
"""


@pytest_asyncio.fixture(loop_scope="session")
async def account(tmp_path: Path) -> AsyncIterator[Account]:
    files = {
        "WEIR_METERS_FILE": str(tmp_path / "meters.toml"),
        "WEIR_PLANS_FILE": str(tmp_path / "plans.toml"),
    }
    async with opened_account(files) as opened:
        write(opened)
        yield opened


def write(account: Account, *, conversions: str = "2.5", pro: str = "1_900") -> None:
    Path(account.environment["WEIR_METERS_FILE"]).write_text(METERS.format(conversions=conversions))
    Path(account.environment["WEIR_PLANS_FILE"]).write_text(PLANS.format(pro=pro))


def price(account: Account, lookup_key: str) -> Json:
    [found] = [
        each for each in account.fake.objects.prices.values() if each["lookup_key"] == lookup_key
    ]
    return found


async def outcomes(account: Account) -> list[tuple[str, str, str]]:
    ended = await account.run("setup", "--json")
    assert (ended.code, ended.errors) == (0, "")
    return [(line["kind"], line["name"], line["outcome"]) for line in ended.lines]


THINGS = [
    ("meter", "conversions"),
    ("product", "weir_meter_conversions"),
    ("price", "weir_meter_conversions"),
    ("meter", "signups"),
    ("product", "weir_meter_signups"),
    ("price", "weir_meter_signups"),
    ("product", "weir_plan_pro"),
    ("price", "weir_pro_monthly"),
]


async def test_everything_of_the_two_files_is_made_once(account: Account) -> None:
    assert await outcomes(account) == [(*each, "made") for each in THINGS]
    objects = account.fake.objects
    [meter, _] = objects.meters.values()
    assert meter["event_name"] == "conversions"
    assert meter["display_name"] == "Conversions"
    assert meter["default_aggregation"] == {"formula": "sum"}
    assert meter["customer_mapping"] == {
        "type": "by_id",
        "event_payload_key": "stripe_customer_id",
    }
    assert meter["value_settings"] == {"event_payload_key": "value"}
    metered = price(account, "weir_meter_conversions")
    assert (metered["unit_amount_decimal"], metered["currency"]) == ("2.5", "eur")
    assert metered["product"] == "weir_meter_conversions"
    assert metered["recurring"]["usage_type"] == "metered"
    assert metered["recurring"]["meter"] == meter["id"]
    monthly = price(account, "weir_pro_monthly")
    assert (monthly["unit_amount"], monthly["currency"]) == (1_900, "eur")
    assert monthly["recurring"]["interval"] == "month"
    assert monthly["metadata"] == {"weir_plan": "pro"}
    assert objects.products["weir_plan_pro"]["name"] == "Pro"

    there = (len(objects.meters), len(objects.products), len(objects.prices))
    assert await outcomes(account) == [(*each, "is there") for each in THINGS]
    assert (len(objects.meters), len(objects.products), len(objects.prices)) == there


async def test_a_price_that_differs_is_replaced_and_back_again(account: Account) -> None:
    await outcomes(account)
    first = price(account, "weir_pro_monthly")
    write(account, conversions="3", pro="2_400")
    changed = [each for each in await outcomes(account) if each[2] != "is there"]
    assert changed == [
        ("price", "weir_meter_conversions", "replaced"),
        ("price", "weir_pro_monthly", "replaced"),
    ]
    assert price(account, "weir_meter_conversions")["unit_amount_decimal"] == "3"
    second = price(account, "weir_pro_monthly")
    assert second["unit_amount"] == 2_400
    # Who subscribed keeps the old one, which still says the plan.
    assert first["active"]
    assert first["metadata"] == {"weir_plan": "pro"}

    # Within the day in which Stripe remembers how the first ones were made.
    write(account, conversions="3")
    ended = await account.run("setup")
    assert ended.code == 0
    third = price(account, "weir_pro_monthly")
    assert third["unit_amount"] == 1_900
    assert third["id"] not in {first["id"], second["id"]}
    assert (
        f"price weir_pro_monthly ({third['id']}) replaced: was 2400 eur ({second['id']}), "
        "which subscriptions on it keep" in ended.output.splitlines()
    )
    write(account, conversions="3", pro="2_400")
    await outcomes(account)
    fourth = price(account, "weir_pro_monthly")
    assert fourth["unit_amount"] == 2_400
    assert fourth["id"] not in {first["id"], second["id"], third["id"]}


async def test_a_meter_that_was_deactivated_is_made_anew_with_its_price(account: Account) -> None:
    await outcomes(account)
    [old, _] = account.fake.objects.meters.values()
    old["status"] = "inactive"
    made = [each for each in await outcomes(account) if each[2] != "is there"]
    assert made == [
        ("meter", "conversions", "made"),
        ("price", "weir_meter_conversions", "replaced"),
    ]
    active = price(account, "weir_meter_conversions")["recurring"]["meter"]
    assert active != old["id"]


async def test_a_meter_that_counts_otherwise_is_refused(account: Account) -> None:
    await outcomes(account)
    [meter, _] = account.fake.objects.meters.values()
    meter["default_aggregation"] = {"formula": "count"}
    ended = await account.run("setup")
    assert ended.code == 1
    assert "deactivate it at Stripe" in ended.errors
    assert meter["id"] in ended.errors


async def test_without_a_key_it_names_the_setting(account: Account) -> None:
    ended = await account.run("setup", environment={"STRIPE_API_KEY": ""})
    assert ended.code == 78
    assert "STRIPE_API_KEY" in ended.errors
    assert account.fake.calls.total() == 0


@pytest.mark.parametrize("kind", ["sk", "rk"])
async def test_a_live_key_is_used_only_when_it_is_said(account: Account, kind: str) -> None:
    live = {"STRIPE_API_KEY": f"{kind}_live_0123456789"}
    ended = await account.run("setup", environment=live)
    assert ended.code == 78
    assert "--live" in ended.errors
    assert account.fake.calls.total() == 0
    # The fake knows it not: it was asked.
    ended = await account.run("setup", "--live", environment=live)
    assert ended.code == 1
    assert account.fake.calls.total() > 0


async def test_a_wrong_key_is_said_and_not_shown(account: Account) -> None:
    key = "sk_test_wrong_0123456789"
    ended = await account.run("setup", environment={"STRIPE_API_KEY": key})
    assert (ended.code, ended.output) == (1, "")
    assert "does not take the key of STRIPE_API_KEY" in ended.errors
    assert key not in ended.errors
    assert "sk_test" not in ended.errors


async def test_files_that_cannot_be_used_are_named(account: Account, tmp_path: Path) -> None:
    for setting in ("WEIR_METERS_FILE", "WEIR_PLANS_FILE"):
        ended = await account.run("setup", environment={setting: str(tmp_path / "none.toml")})
        assert ended.code == 78
        assert setting in ended.errors


async def test_a_stripe_that_is_away_is_tried_again_and_said(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.billing.stripe_calls.FIRST_WAIT", 0.001)
    nowhere = f"http://127.0.0.1:{free_port()}"
    ended = await account.run("setup", environment={"STRIPE_API_BASE": nowhere})
    assert ended.code == 75
    assert "STRIPE_API_BASE" in ended.errors
    assert "Traceback" not in ended.errors
