"""`/api/users/{user_id}/…`: admins top up, refund and set plans, each once a key."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.api.quotas.people import KEY, Person, an_admin, somebody
from tests.api.requests import Answer
from tests.weir import Json, Weir

pytestmark = pytest.mark.services


async def change(
    user: Person, what: str, document: Json, *, key: str | None = None, method: str = "POST"
) -> Answer:
    path = f"/api/users/{quote(user.user_id, safe='')}/{what}"
    headers = None if key is None else {KEY: key}
    return await an_admin(user.weir).ask(method, path, document, headers)


async def shown(user: Person) -> Json:
    return (await change(user, "plan", None, method="GET")).json


@pytest.mark.parametrize("lasts", ["period", "used"])
async def test_a_top_up_raises_the_limit_once_a_key(edge: Weir, lasts: str) -> None:
    user = somebody(edge)
    await user.spend(100)
    document = {"count": 50, "lasts": lasts, "reason": "a present"}
    first = await change(user, "top-ups", document, key="present")
    assert first.status == 200, first.body
    assert (first.json["limit"], first.json["remaining"]) == (150, 50)
    assert first.json["user_id"] == user.user_id
    again = await change(user, "top-ups", document, key="present")
    assert again.body == first.body
    (await change(user, "top-ups", {**document, "count": 51}, key="present")).problem(422, KEY)
    assert (await user.spend(50)).status == 200
    (await user.spend(1)).problem(403)


async def test_an_admins_keys_are_not_the_users(edge: Weir) -> None:
    user = somebody(edge)
    assert (await user.spend(1, "key")).status == 200
    assert (await change(user, "top-ups", {"count": 1}, key="key")).status == 200


async def test_a_spend_is_refunded_once(edge: Weir) -> None:
    user = somebody(edge)
    spend_id = (await user.spend(10, "to be undone")).json["spend_id"]
    await user.spend(5)
    document = {"spend_id": spend_id, "reason": "it failed"}
    first = await change(user, "refunds", document, key="undo")
    assert first.status == 200, first.body
    assert (first.json["refunded"], first.json["quota_used"]) == (10, 5)
    assert (await change(user, "refunds", document, key="undo")).body == first.body
    problem = (await change(user, "refunds", document, key="undo again")).problem(409)
    assert problem["code"] == "already_refunded"
    assert await user.used() == 5
    # The spend's own key still has its first answer, and charges nothing again.
    assert (await user.spend(10, "to be undone")).json["spend_id"] == spend_id
    assert await user.used() == 5


async def test_a_spend_is_refunded_in_part(edge: Weir) -> None:
    user = somebody(edge)
    spend_id = (await user.spend(10)).json["spend_id"]
    problem = (await change(user, "refunds", {"spend_id": spend_id, "count": 11})).problem(409)
    assert problem["code"] == "refund_too_large"
    part = await change(user, "refunds", {"spend_id": spend_id, "count": 4})
    assert (part.json["refunded"], part.json["quota_used"]) == (4, 6)


async def test_what_was_not_spent_is_not_refunded(edge: Weir) -> None:
    user, other = somebody(edge), somebody(edge)
    theirs = (await other.spend(10)).json["spend_id"]
    too_much = (await user.spend(1, "k")).json["spend_id"]
    for spend_id in (str(uuid4()), theirs):
        problem = (await change(user, "refunds", {"spend_id": spend_id})).problem(404)
        assert problem["code"] == "unknown_spend"
        assert other.user_id not in problem["detail"]
    assert (await change(user, "refunds", {"spend_id": too_much})).status == 200
    assert await other.used() == 10


async def test_a_plan_is_set_and_what_is_used_stays_used(edge: Weir) -> None:
    user = somebody(edge)
    await user.spend(100)
    answer = await change(user, "plan", {"plan": "pro"}, method="PUT")
    assert answer.status == 200, answer.body
    assert (answer.json["plan"], answer.json["limit"]) == ("pro", 1_000)
    assert answer.json["quota_used"] == 100
    assert (await user.spend(900)).json["remaining"] == 0
    back = await change(user, "plan", {"plan": "free"}, method="PUT")
    assert (back.json["limit"], back.json["quota_used"], back.json["remaining"]) == (100, 1_000, 0)
    (await user.spend(1)).problem(403)


async def test_a_subscriptions_own_period_is_the_accounts(edge: Weir) -> None:
    user = somebody(edge)
    start = datetime.now(UTC) - timedelta(hours=1)
    period = {"start": start.isoformat(), "end": "2099-01-15T00:00:00Z"}
    answer = await change(user, "plan", {"plan": "pro", "period": period}, method="PUT")
    assert answer.status == 200, answer.body
    assert answer.json["resets_at"] == "2099-01-15T00:00:00.000Z"
    assert (await user.plan())["resets_at"] == "2099-01-15T00:00:00.000Z"


@pytest.mark.parametrize(
    ("what", "document", "field"),
    [
        ("top-ups", {}, "count"),
        ("top-ups", {"count": 0}, "count"),
        ("top-ups", {"count": True}, "count"),
        ("top-ups", {"count": 1, "lasts": "ever"}, "lasts"),
        ("top-ups", {"count": 1, "forever": True}, "forever"),
        ("refunds", {}, "spend_id"),
        ("refunds", {"spend_id": "none"}, "spend_id"),
        ("refunds", {"spend_id": 7}, "spend_id"),
        ("plan", {}, "plan"),
        ("plan", {"plan": "gold"}, "plan"),
        ("plan", {"plan": "No Plan"}, "plan"),
        ("plan", {"plan": "pro", "period": {"start": "2026-11-01T00:00:00Z"}}, "period.end"),
        ("plan", {"plan": "pro", "period": {"start": "2026-11-01", "end": "x"}}, None),
        (
            "plan",
            {
                "plan": "pro",
                "period": {"start": "2026-11-02T00:00:00Z", "end": "2026-11-01T00:00:00Z"},
            },
            "period",
        ),
        (
            "plan",
            {
                "plan": "pro",
                "period": {"start": "2099-01-01T00:00:00Z", "end": "2099-02-01T00:00:00Z"},
            },
            "period",
        ),
    ],
)
async def test_what_cannot_be_asked_is_refused(
    edge: Weir, what: str, document: Json, field: str | None
) -> None:
    user = somebody(edge)
    method = "PUT" if what == "plan" else "POST"
    (await change(user, what, document, method=method)).problem(422, field)
    assert (await shown(user))["limit"] == 100


@pytest.mark.parametrize("name", ["a/b", "https://issuer.example/u?x=1#y", "plan", "用户"])
async def test_a_user_of_any_name_is_reached(edge: Weir, name: str) -> None:
    user = Person(edge, f"{name}/{uuid4().hex}")
    await user.spend(3)
    document = await shown(user)
    assert (document["user_id"], document["quota_used"]) == (user.user_id, 3)


@pytest.mark.parametrize("name", ["", "%00", "a%09b", "%0A", "a%0A", "x" * 257])
async def test_a_name_that_is_nobodys_is_refused(edge: Weir, name: str) -> None:
    answer = await an_admin(edge).ask("GET", f"/api/users/{name}/plan")
    answer.problem(422, "user_id")


async def test_whether_a_user_exists_is_not_told(edge: Weir) -> None:
    nobody = somebody(edge)
    document = await shown(nobody)
    assert (document["plan"], document["quota_used"]) == ("free", 0)
