"""The ledger at the edge: each change with its reason, one's own alone, page by page."""

import csv
import io
from dataclasses import replace
from urllib.parse import quote, urlencode
from uuid import uuid4

import pytest

from tests.api.quotas.people import Person, an_admin, somebody
from tests.api.requests import Answer
from tests.weir import Json, Weir

pytestmark = pytest.mark.services

USAGE = "/api/user/usage"


async def listed(person: Person, path: str = USAGE, /, **parameters: str | int) -> Json:
    named = {name.rstrip("_"): value for name, value in parameters.items()}
    answer = await person.ask("GET", f"{path}?{urlencode(named)}")
    assert answer.status == 200, answer.body
    return answer.json


async def items(person: Person, count: int, **parameters: str | int) -> list[Json]:
    """The items of the first page, as soon as there are so many."""
    found: list[Json] = []

    async def there() -> bool:
        found[:] = (await listed(person, USAGE, **parameters))["items"]
        return len(found) >= count

    await person.weir.eventually(there)
    assert len(found) == count
    return found


async def change(user: Person, what: str, document: Json, method: str = "POST") -> Answer:
    path = f"/api/users/{quote(user.user_id, safe='')}/{what}"
    answer = await an_admin(user.weir).ask(method, path, document)
    assert answer.status == 200, answer.body
    return answer


async def spent(user: Person, *counts: int) -> list[str]:
    """The ids of spends of so many credits each."""
    answers = [await user.spend(count) for count in counts]
    assert all(each.status == 200 for each in answers)
    return [each.json["spend_id"] for each in answers]


async def test_every_change_is_there_with_its_reason_and_the_account_after_it(edge: Weir) -> None:
    user = somebody(edge)
    document = {"count": 98, "reason": "a post"}
    spend_id = (await user.ask("POST", "/api/user/plan", document)).json["spend_id"]
    granted = await change(user, "top-ups", {"count": 10, "lasts": "used", "reason": "a present"})
    # Two credits of the plan, three of the top-up.
    [second] = await spent(user, 5)
    assert (await user.spend(1_000)).status == 403
    await change(user, "refunds", {"spend_id": second, "count": 4, "reason": "it failed"})
    changed = await change(user, "plan", {"plan": "pro"}, "PUT")

    found = await items(user, 5)
    shown = [
        (each["kind"], each["reason"], each["credits"], each["quota_used"], each["limit"])
        for each in found
    ]
    assert shown == [
        ("plan_changed", "plan set by an admin", 0, 99, 1_010),
        ("refund", "it failed", 4, 99, 110),
        ("spend", "spent", -5, 103, 110),
        ("top_up", "a present", 10, 98, 110),
        ("spend", "a post", -98, 98, 100),
    ]
    assert [each["command_id"] for each in (found[0], found[2], found[3], found[4])] == [
        *(changed.json["command_id"], second, granted.json["command_id"], spend_id)
    ]
    assert [each["spend_id"] for each in found] == [None, second, None, None, None]
    assert len({each["id"] for each in found}) == 5
    plan = await user.plan()
    last = found[0]
    assert {name: last[name] for name in plan} == plan
    assert last["period_start"] <= found[-1]["at"] <= found[0]["at"] < last["resets_at"]


async def test_pages_hold_each_change_once_newest_first(edge: Weir) -> None:
    user = somebody(edge)
    ids = await spent(user, *range(1, 8))
    await items(user, 7)
    found: list[Json] = []
    cursor: dict[str, str] = {}
    for _ in range(4):
        answer = await user.ask("GET", f"{USAGE}?{urlencode({'limit': 2, **cursor})}")
        found += answer.json["items"]
        if answer.json["next_cursor"] is None:
            assert "Link" not in answer.headers
            break
        cursor = {"cursor": answer.json["next_cursor"]}
        assert cursor["cursor"] in answer.headers["Link"]
        # What is new shifts nothing.
        await spent(user, 1)
    assert [each["command_id"] for each in found] == ids[::-1]


async def test_nobody_sees_the_ledger_of_another(edge: Weir) -> None:
    user, other = somebody(edge), somebody(edge)
    [mine] = await spent(user, 1)
    [theirs] = await spent(other, 2)
    assert [each["command_id"] for each in await items(user, 1)] == [mine]
    [item] = await items(other, 1)
    assert item["command_id"] == theirs
    # Nor with another's cursor, nor by name; an admin may.
    page = await listed(user, limit=1)
    assert page["next_cursor"] is None
    await spent(other, 3)
    await items(other, 2)
    cursor = (await listed(other, limit=1))["next_cursor"]
    assert {each["command_id"] for each in (await listed(user, cursor=cursor))["items"]} <= {mine}
    path = f"/api/users/{other.user_id}/usage"
    (await user.ask("GET", path)).problem(403)
    (await user.ask("GET", f"{USAGE}?user_id={other.user_id}")).problem(422)
    assert len((await listed(an_admin(edge), path))["items"]) == 2


async def test_filters_leave_out_the_rest(edge: Weir) -> None:
    user = somebody(edge)
    await spent(user, 1)
    await change(user, "top-ups", {"count": 1})
    await spent(user, 2)
    found = await items(user, 3)
    assert [each["credits"] for each in (await listed(user, kind="spend"))["items"]] == [-2, -1]
    assert [each["credits"] for each in (await listed(user, kind="top_up"))["items"]] == [1]
    since = found[0]["at"]
    later = (await listed(user, from_=since))["items"]
    earlier = (await listed(user, to=since))["items"]
    assert [*later, *earlier] == found
    assert later
    for wrong in (
        {"kind": "show"},
        {"from": "2026-11-24", "to": "2026-11-23T00:00:00Z"},
        {"from": "2026-11-24T00:00:00Z", "to": "2026-11-23T00:00:00Z"},
        {"cursor": ""},
        {"cursor": "bm90IG91cnM"},
        {"limit": 0},
        {"limit": 1_001},
    ):
        (await user.ask("GET", f"{USAGE}?{urlencode(wrong)}")).problem(422)
    (await user.ask("GET", f"{USAGE}?limit=1&limit=2")).problem(422, "limit")


async def test_a_name_of_any_characters_has_its_ledger_as_csv_too(edge: Weir) -> None:
    user = replace(somebody(edge), user_id=f"https://id.example/ü'%\\{uuid4().hex}?x=1&y#z")
    await spent(user, 1)
    await items(user, 1)
    path = f"/api/users/{quote(user.user_id, safe='')}/usage"
    answer = await an_admin(edge).ask("GET", path, headers={"Accept": "text/csv"})
    [line] = csv.DictReader(io.StringIO(answer.body.decode()))
    assert (line["kind"], line["credits"], line["spend_id"]) == ("spend", "-1", "")
    assert answer.headers["Cache-Control"] == "private, no-store"


async def test_admins_page_through_users_with_a_ledger(edge: Weir) -> None:
    prefix = f"listed-{uuid4().hex[:8]}"
    people = [Person(edge, f"{prefix}-{number}") for number in range(3)]
    for person in people:
        await spent(person, 1, 1)
        await items(person, 2)
    admin = an_admin(edge)
    found: list[Json] = []
    parameters: dict[str, str | int] = {"limit": 2}
    while True:
        page = await listed(admin, "/api/users", **parameters)
        found += page["items"]
        if page["next_cursor"] is None:
            break
        parameters["cursor"] = page["next_cursor"]
    names = [each["user_id"] for each in found]
    assert names == sorted(names, key=str.encode)
    assert len(set(names)) == len(names)
    ours = [each for each in found if each["user_id"].startswith(prefix)]
    assert [each["changes"] for each in ours] == [2, 2, 2]
    for cursor in ("", "%", "/w"):
        (await admin.ask("GET", f"/api/users?{urlencode({'cursor': cursor})}")).problem(422)


async def test_a_ledger_adds_up_to_its_account(edge: Weir) -> None:
    user = somebody(edge)
    path = f"/api/users/{user.user_id}/ledger"
    assert (await listed(an_admin(edge), path))["ledger"]["changes"] == 0
    [spend_id] = await spent(user, 60)
    await change(user, "top-ups", {"count": 30, "lasts": "used"})
    await spent(user, 50)
    await change(user, "refunds", {"spend_id": spend_id})
    await items(user, 4)
    document = await listed(an_admin(edge), path)
    assert document["agrees"], document
    # Of the top-up ten are used; what was refunded is the plan's.
    assert document["ledger"] == {
        "plan": "free",
        "quota_used": 50,
        "top_up_credits_left": 20,
        "changes": 4,
    }
    assert document["account"] == await user.plan()
