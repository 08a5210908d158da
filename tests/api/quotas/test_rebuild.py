"""A rebuild of an account that nothing was lost of, while it is used, and with nobody to ask."""

import asyncio

import pytest

from tests.api.quotas.people import Person, an_admin, somebody
from tests.weir import Json, Weir

pytestmark = pytest.mark.services


async def with_a_ledger(weir: Weir, *counts: int) -> Person:
    """A user who has spent so many credits, as soon as the ledger shows it."""
    user = somebody(weir)
    for each in counts:
        assert (await user.spend(each)).status == 200

    async def shown() -> bool:
        answer = await user.ask("GET", "/api/user/usage")
        return len(answer.json["items"]) == len(counts)

    await weir.eventually(shown)
    return user


async def rebuilt(user: Person) -> Json:
    answer = await an_admin(user.weir).ask("POST", f"/api/users/{user.user_id}/rebuild")
    assert answer.status == 200, answer.body
    return answer.json


async def test_what_is_spent_while_an_account_is_rebuilt_is_not_lost(edge: Weir) -> None:
    user = await with_a_ledger(edge, 1)

    async def spend() -> list[int]:
        return [(await user.spend()).json["quota_used"] for _ in range(30)]

    *_, used = await asyncio.gather(rebuilt(user), rebuilt(user), spend())
    # At no moment either.
    assert used == list(range(2, 32))
    document = await rebuilt(user)
    assert document["before"] == document["after"] == await user.plan()
    assert document["after"]["quota_used"] == 31
    assert document["changes"] == document["remembered"] == 31
    ledger = await an_admin(edge).ask("GET", f"/api/users/{user.user_id}/ledger")
    assert ledger.json["agrees"], ledger.json


async def test_a_restore_is_a_line_of_the_ledger_that_changes_nothing(edge: Weir) -> None:
    user = await with_a_ledger(edge, 5)
    assert (await rebuilt(user))["after"] == await user.plan()
    [last] = (await user.ask("GET", "/api/user/usage?limit=1")).json["items"]
    assert (last["kind"], last["credits"], last["quota_used"]) == ("restore", 0, 5)


async def test_what_no_ledger_knows_is_not_rebuilt(edge: Weir) -> None:
    user = somebody(edge)
    answer = await an_admin(edge).ask("POST", f"/api/users/{user.user_id}/rebuild")
    answer.problem(404)
    # Nor is what it does not show yet: nothing is taken back.
    assert (await user.spend(7)).status == 200
    answer = await an_admin(edge).ask("POST", f"/api/users/{user.user_id}/rebuild")
    assert answer.status in (200, 404)
    assert await user.used() == 7
