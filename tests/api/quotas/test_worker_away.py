"""Nobody decides: 503 in time; what is sent again under its key is charged once."""

from time import monotonic

import pytest

from tests.api.quotas.people import KEY, PLAN, an_admin, somebody
from tests.weir import Weir

pytestmark = pytest.mark.services


async def test_a_command_that_nobody_decided_about_is_charged_once_when_sent_again(
    weir: Weir,
) -> None:
    await weir.start_api({"WEIR_QUOTA_TIMEOUT": "1.5"})
    user = somebody(weir)

    start = monotonic()
    answer = await user.spend(7, "order 1")
    assert monotonic() - start < 3
    detail = answer.problem(503)["detail"]
    assert int(answer.headers["Retry-After"]) >= 1
    assert "not known" in detail
    assert f"same {KEY}" in detail

    start = monotonic()
    detail = (await user.ask("GET", PLAN)).problem(503)["detail"]
    assert monotonic() - start < 3
    assert "nothing was asked to change" in detail
    detail = (await user.spend(1)).problem(503)["detail"]
    assert "twice" in detail
    top_up = {"count": 50, "lasts": "used"}
    path = f"/api/users/{user.user_id}/top-ups"
    (await an_admin(weir).ask("POST", path, top_up, {KEY: "present"})).problem(503)

    worker = weir.start_quotas()
    await weir.eventually(weir.decides, within=120, process=worker)
    # They were on Kafka, and are decided about: the one without a key too.
    again = await user.spend(7, "order 1")
    assert again.status == 200, again.body
    assert await user.used() == 8
    again = await an_admin(weir).ask("POST", path, top_up, {KEY: "present"})
    assert again.status == 200, again.body
    assert (await user.plan())["limit"] == 150
