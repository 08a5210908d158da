"""`/api/users/{user_id}/…`: any user's account, for admins."""

from http import HTTPStatus
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from uuid_utils.compat import uuid7

from api.identity.access import access
from api.identity.principal import Role
from api.problems import documented
from api.quotas.bodies import Body, read_document, request_body
from api.quotas.commands import carry_out
from api.quotas.documents import PlanDocument, answer
from api.quotas.idempotency import CommandName, IdempotencyKey, name_of_admins
from api.quotas.paths import OF_USER, UserInPath
from api.state import AtQuotas, Now
from schemas.quotas import Credits, Id, Period, PlanChanged, PlanName, Reason, Refund, Show, TopUp

router = APIRouter(tags=["quotas"], dependencies=[access(Role.ADMIN)])

_CHANGE: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_SPEND_ID: Final = "019ab0c2-7f00-7c3e-8f00-2a1b3c4d5e6f"


class AccountDocument(PlanDocument):
    """Where a user stands."""

    user_id: Annotated[str, Field(examples=["u-42"])]


class ChangedAccount(AccountDocument):
    """Where a user stands after a change."""

    command_id: Annotated[str, Field(description="Names the change in the ledger.")]


class RefundedAccount(ChangedAccount):
    """Where a user stands after a refund."""

    refunded: Annotated[int, Field(ge=0, description="Credits that were given back.")]


class NewTopUp(Body):
    """Credits beside those of the plan."""

    count: Annotated[Credits, Field(examples=[1000])]
    lasts: Annotated[
        Literal["period", "used"],
        Field(description="Until the running period ends, or until they are used."),
    ] = "period"
    reason: Reason = "top-up by an admin"


class NewRefund(Body):
    """Gives a spend's credits back, once."""

    spend_id: Annotated[Id, Field(description="From the answer to the spend, or the ledger.")]
    count: Annotated[Credits | None, Field(description="So many of its credits; absent: all.")] = (
        None
    )
    reason: Reason = "refund by an admin"


class NewPlan(Body):
    """The plan that a user is on from now."""

    plan: Annotated[PlanName, Field(examples=["pro"])]
    period: Annotated[
        Period | None,
        Field(
            description="The subscription's running period; absent: calendar months in UTC. One "
            "that has not begun is refused (`period_not_begun`)."
        ),
    ] = None
    reason: Reason = "plan set by an admin"


DOCUMENTED_MODELS: Final[tuple[type[BaseModel], ...]] = (NewTopUp, NewRefund, NewPlan)


@router.get(
    f"{OF_USER}/plan",
    summary="Show a user's plan and what is used of it",
    response_model=AccountDocument,
    responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
)
async def show_account(user_id: UserInPath, desk: AtQuotas, now: Now) -> Response:
    """A user who never asked has a fresh account."""
    decision = await carry_out(
        desk, Show(command_id=uuid7(), user_id=user_id, issued_at=now, reason="shown")
    )
    return answer(AccountDocument.of(decision, user_id=user_id))


@router.put(
    f"{OF_USER}/plan",
    summary="Put a user on a plan",
    response_model=ChangedAccount,
    responses=documented(*_CHANGE),
    openapi_extra=request_body(NewPlan, {"plan": "pro"}),
)
async def set_plan(
    request: Request, user_id: UserInPath, desk: AtQuotas, now: Now, key: IdempotencyKey
) -> Response:
    """What is used in the running period stays used."""
    asked = await read_document(request, NewPlan)
    name = name_of_admins(user_id, key)
    decision = await carry_out(
        desk,
        PlanChanged(
            command_id=name.command_id,
            user_id=user_id,
            issued_at=now,
            reason=asked.reason,
            plan=asked.plan,
            period=asked.period,
        ),
        repeatable=name.repeatable,
    )
    return answer(ChangedAccount.of(decision, **_names(user_id, name)))


@router.post(
    f"{OF_USER}/top-ups",
    summary="Give a user credits beside those of the plan",
    response_model=ChangedAccount,
    responses=documented(HTTPStatus.CONFLICT, *_CHANGE),
    openapi_extra=request_body(NewTopUp, {"count": 1000, "lasts": "used"}),
)
async def top_up(
    request: Request, user_id: UserInPath, desk: AtQuotas, now: Now, key: IdempotencyKey
) -> Response:
    """Send an `Idempotency-Key`: without one, sending it again grants it again."""
    asked = await read_document(request, NewTopUp)
    name = name_of_admins(user_id, key)
    decision = await carry_out(
        desk,
        TopUp(
            command_id=name.command_id,
            user_id=user_id,
            issued_at=now,
            reason=asked.reason,
            count=asked.count,
            lasts=asked.lasts,
        ),
        repeatable=name.repeatable,
    )
    return answer(ChangedAccount.of(decision, **_names(user_id, name)))


@router.post(
    f"{OF_USER}/refunds",
    summary="Give the credits of a spend back, once",
    response_model=RefundedAccount,
    responses=documented(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, *_CHANGE),
    openapi_extra=request_body(NewRefund, {"spend_id": _SPEND_ID}),
)
async def refund(
    request: Request, user_id: UserInPath, desk: AtQuotas, now: Now, key: IdempotencyKey
) -> Response:
    """A spend is refunded at most once, whole or in part, also without an `Idempotency-Key`."""
    asked = await read_document(request, NewRefund)
    name = name_of_admins(user_id, key)
    decision = await carry_out(
        desk,
        Refund(
            command_id=name.command_id,
            user_id=user_id,
            issued_at=now,
            reason=asked.reason,
            spend_id=asked.spend_id,
            count=asked.count,
        ),
        repeatable=name.repeatable,
    )
    return answer(RefundedAccount.of(decision, refunded=decision.count, **_names(user_id, name)))


def _names(user_id: str, name: CommandName) -> dict[str, str]:
    return {"user_id": user_id, "command_id": str(name.command_id)}
