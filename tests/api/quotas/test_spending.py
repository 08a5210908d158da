"""`/api/user/plan`: credits are spent all or none, exactly once for each key, and never beyond."""

import asyncio
from collections import Counter

import pytest

from tests.api.quotas.people import KEY, PLAN, Person, an_admin, somebody
from tests.weir import Json, Weir

pytestmark = pytest.mark.services


async def test_a_user_starts_on_the_default_plan_with_nothing_used(edge: Weir) -> None:
    answer = await somebody(edge).ask("GET", PLAN)
    plan = answer.json
    assert (plan["plan"], plan["quota_used"], plan["limit"], plan["remaining"]) == (
        "free",
        0,
        100,
        100,
    )
    assert plan["period_start"] < plan["resets_at"]
    # The 1st of a month, UTC.
    assert plan["period_start"].endswith("-01T00:00:00.000Z")
    assert answer.headers["Cache-Control"] == "private, no-store"


async def test_what_is_spent_is_used_and_what_exceeds_the_limit_is_not_charged(edge: Weir) -> None:
    user = somebody(edge)
    spent = await user.spend(60)
    assert spent.status == 200
    assert (spent.json["quota_used"], spent.json["remaining"]) == (60, 40)
    problem = (await user.spend(41)).problem(403)
    assert problem["code"] == "quota_exceeded"
    assert (problem["limit"], problem["quota_used"], problem["requested"]) == (100, 60, 41)
    assert problem["resets_at"] == spent.json["resets_at"]
    assert await user.used() == 60
    assert (await user.spend(40)).json["remaining"] == 0
    (await user.spend(1)).problem(403)


@pytest.mark.parametrize(
    "count", [0, -1, 1.5, 1.0, "1", True, None, [1], 10**9 + 1, 10**18, 10**30]
)
async def test_a_count_that_is_none_is_refused_and_nothing_charged(edge: Weir, count: Json) -> None:
    user = somebody(edge)
    body = b'{"count": %d}' % count if isinstance(count, int) and count > 10**18 else None
    answer = await (user.ask("POST", PLAN, body) if body else user.spend(count))
    answer.problem(422, "count")
    assert await user.used() == 0


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{}", 422, "count"),
        (b'{"count": 1, "user_id": "alice"}', 422, "user_id"),
        (b'{"count": 1, "reason": ""}', 422, "reason"),
        (b"[]", 422, "body"),
        (b"null", 422, "body"),
        (b'"1"', 422, "body"),
        (b"", 400, "body"),
        (b"{", 400, "body"),
        (b'{"count": NaN}', 400, "body"),
        (b'{"count": 1, "count": 2}', 400, "count"),
        (b'{"count": 1, "reason": "\xff"}', 400, "body"),
        (b'{"count": 1, "reason": "' + b"x" * 201 + b'"}', 422, "reason"),
        (b'{"count": 1, "reason": "' + b"x" * 1_048_576 + b'"}', 413, "body"),
    ],
)
async def test_a_body_that_is_none_is_refused(
    edge: Weir, body: bytes, status: int, field: str
) -> None:
    user = somebody(edge)
    (await user.ask("POST", PLAN, body)).problem(status, field)
    assert await user.used() == 0


async def test_another_media_type_is_refused(edge: Weir) -> None:
    answer = await somebody(edge).ask(
        "POST", PLAN, b"count=1", {"Content-Type": "application/x-www-form-urlencoded"}
    )
    answer.problem(415, "Content-Type")


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "x" * 10_000, "caf\xe9", "a\tb"])
async def test_a_key_that_is_none_is_refused_and_nothing_charged(edge: Weir, key: str) -> None:
    user = somebody(edge)
    (await user.spend(1, key)).problem(422, KEY)
    assert await user.used() == 0


async def test_the_same_key_gets_the_same_answer_and_charges_once(edge: Weir) -> None:
    user = somebody(edge)
    longest = "k" * 255
    first = await user.spend(3, longest)
    assert first.status == 200
    await user.spend(5)
    again = await user.spend(3, longest)
    assert (again.status, again.body) == (first.status, first.body)
    assert await user.used() == 8


async def test_the_same_key_with_another_count_is_refused(edge: Weir) -> None:
    user = somebody(edge)
    await user.spend(3, "order 1")
    problem = (await user.spend(4, "order 1")).problem(422, KEY)
    assert problem["code"] == "conflict"
    assert await user.used() == 3
    # Another user's keys are other keys.
    assert (await somebody(edge).spend(4, "order 1")).status == 200


async def test_the_same_key_with_another_reason_is_refused(edge: Weir) -> None:
    user = somebody(edge)
    for reason, status in (("a", 200), ("b", 422), ("a", 200)):
        body = {"count": 3, "reason": reason}
        answer = await user.ask("POST", "/api/user/plan", body, {KEY: "order 2"})
        assert answer.status == status, answer.body
    assert await user.used() == 3


async def test_a_refusal_under_a_key_stays_refused(edge: Weir) -> None:
    user = somebody(edge)
    first = await user.spend(101, "too much")
    first.problem(403)
    await an_admin(edge).ask("POST", f"/api/users/{user.user_id}/top-ups", {"count": 50})
    again = await user.spend(101, "too much")
    assert (again.status, again.body) == (403, first.body)
    assert (await user.spend(101, "another")).status == 200


async def test_concurrent_requests_with_one_key_all_get_the_one_answer(edge: Weir) -> None:
    user = somebody(edge)
    answers = await asyncio.gather(*(user.spend(2, "at once") for _ in range(20)))
    assert {(answer.status, answer.body) for answer in answers} == {
        (200, answers[0].body),
    }
    assert await user.used() == 2


async def test_without_a_key_each_request_is_charged(edge: Weir) -> None:
    user = somebody(edge)
    answers = await asyncio.gather(*(user.spend(2) for _ in range(20)))
    assert Counter(answer.status for answer in answers) == {200: 20}
    assert len({answer.json["spend_id"] for answer in answers}) == 20
    assert await user.used() == 40


async def test_a_key_given_twice_is_refused(edge: Weir) -> None:
    user = somebody(edge)
    async with edge.session.post(
        edge.url + PLAN,
        json={"count": 1},
        headers=[*user.headers.items(), (KEY, "a"), (KEY, "b")],
    ) as answer:
        assert answer.status == 422
    assert await user.used() == 0


async def test_users_do_not_see_each_other(edge: Weir) -> None:
    one, other = somebody(edge), somebody(edge)
    await one.spend(7)
    assert await other.used() == 0
    for path in ("plan", "usage"):
        for name in (one.user_id, "nobody-at-all"):
            answer = await other.ask("GET", f"/api/users/{name}/{path}")
            assert answer.status == 403
            assert answer.body == (await other.ask("GET", f"/api/users/x/{path}")).body


async def test_a_user_may_have_any_name(edge: Weir) -> None:
    for name in ("https://issuer.example/4711", "用户", "a plan", "x" * 256):
        user = Person(edge, name)
        before = await user.used()
        assert (await user.spend(1)).json["quota_used"] == before + 1
