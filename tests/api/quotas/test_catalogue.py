"""`GET /api/plans`: the catalogue as it is, for everybody, and 304 to who has it."""

import pytest

from schemas.plans import read_catalogue
from tests.api.requests import ask
from tests.weir import Weir

pytestmark = pytest.mark.services


async def test_everybody_sees_the_plans_in_their_order(edge: Weir) -> None:
    answer = await ask(edge, "GET", "/api/plans")
    catalogue = read_catalogue()
    assert answer.status == 200
    assert answer.json["version"] == catalogue.version
    assert answer.json["default"] == "free"
    assert [
        (plan["name"], plan["title"], plan["limit"], tuple(plan["unlocks"]))
        for plan in answer.json["plans"]
    ] == [(plan.name, plan.title, plan.limit, plan.unlocks) for plan in catalogue.plans.values()]
    assert "max-age" in answer.headers["Cache-Control"]

    again = await ask(edge, "GET", "/api/plans", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
    other = await ask(edge, "GET", "/api/plans", headers={"If-None-Match": '"another"'})
    assert other.body == answer.body
