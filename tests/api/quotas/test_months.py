"""A period ends with its month: what was used begins anew, by the time that commands carry."""

from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from uuid import UUID, uuid4

import pytest

from schemas.quotas import Spend, TopUp
from tests.api.quotas.people import Person, an_admin, somebody
from tests.api.requests import Answer
from tests.weir import Weir

pytestmark = pytest.mark.services


_TOP_UPS: Final[tuple[tuple[int, Literal["period", "used"]], ...]] = (
    (500, "period"),
    (30, "used"),
)


def last_month() -> datetime:
    """Its last hour: a spend of 35 days ago is forgotten."""
    first = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return first - timedelta(hours=1)


async def sent(user: Person, *commands: Spend | TopUp) -> None:
    """Writes commands to Kafka as any producer may; those of the edge come behind them."""
    key = user.user_id.encode()
    await user.weir.produce(
        "quota-commands", [(key, command.model_dump_json().encode()) for command in commands]
    )


def a_spend(user: Person, count: int, issued_at: datetime) -> Spend:
    return Spend(
        command_id=uuid4(), user_id=user.user_id, issued_at=issued_at, reason="then", count=count
    )


async def refund(user: Person, spend_id: UUID) -> Answer:
    path = f"/api/users/{user.user_id}/refunds"
    return await an_admin(user.weir).ask("POST", path, {"spend_id": str(spend_id)})


async def test_what_was_used_last_month_is_not_used_in_this(edge: Weir) -> None:
    user = somebody(edge)
    spend = a_spend(user, 100, last_month())
    await sent(user, spend, a_spend(user, 1, last_month()))
    plan = await user.plan()
    assert (plan["quota_used"], plan["remaining"]) == (0, 100)
    assert plan["period_start"] == f"{datetime.now(UTC):%Y-%m}-01T00:00:00.000Z"
    assert (await user.spend(100)).status == 200
    (await user.spend(1)).problem(403)
    # It was decided about, and is over.
    problem = (await refund(user, spend.command_id)).problem(409)
    assert problem["code"] == "period_over"
    assert await user.used() == 100


async def test_a_command_that_comes_late_counts_in_the_running_period(edge: Weir) -> None:
    user = somebody(edge)
    await user.spend(60)
    late = a_spend(user, 30, last_month())
    await sent(user, late, a_spend(user, 30, last_month()))
    assert await user.used() == 90
    assert (await refund(user, late.command_id)).json["quota_used"] == 60


async def test_top_ups_of_a_period_end_with_it_and_others_last(edge: Weir) -> None:
    user = somebody(edge)
    await sent(
        user,
        *(
            TopUp(
                command_id=uuid4(),
                user_id=user.user_id,
                issued_at=last_month(),
                reason="then",
                count=count,
                lasts=lasts,
            )
            for count, lasts in _TOP_UPS
        ),
        a_spend(user, 110, last_month()),
    )
    plan = await user.plan()
    # The 10 beyond the plan's 100 were taken of the credits that would have ended first.
    assert (plan["limit"], plan["quota_used"], plan["remaining"]) == (130, 0, 130)
