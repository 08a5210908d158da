"""`/api/user/plan`: one's own plan, and spending its credits."""

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field
from uuid_utils.compat import uuid7

from api.identity.access import Access, Asking, declared, principal_of
from api.identity.principal import Role
from api.problems import documented
from api.quotas.bodies import Body, read_document, request_body
from api.quotas.commands import carry_out
from api.quotas.documents import PlanDocument, SpendDocument, answer
from api.quotas.idempotency import documented_key, given_key, name_of_users
from api.quotas.paths import MINE
from api.state import AtQuotas, Now, now, quotas
from schemas.quotas import Credits, Reason, Show, Spend

ACCESS: Final = Access([Role.USER])
PLAN: Final = f"{MINE}/plan"

router = APIRouter(tags=["quotas"], dependencies=[declared(ACCESS)])


class NewSpend(Body):
    """Credits to spend, all or none."""

    count: Annotated[Credits, Field(examples=[1])]
    reason: Reason = "spent"


DOCUMENTED_MODELS: Final[tuple[type[BaseModel], ...]] = (NewSpend,)


@router.get(
    PLAN,
    summary="Show one's own plan and what is used of it",
    response_model=PlanDocument,
    responses=documented(HTTPStatus.SERVICE_UNAVAILABLE),
)
async def show_plan(asking: Asking, desk: AtQuotas, asked_at: Now) -> Response:
    """Exact: every spend that was answered before is in it, and no other."""
    decision = await carry_out(
        desk,
        Show(command_id=uuid7(), user_id=asking.subject, issued_at=asked_at, reason="shown"),
    )
    return answer(PlanDocument.of(decision))


@router.post(
    PLAN,
    summary="Spend credits of one's own",
    response_model=SpendDocument,
    responses=documented(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
    dependencies=[Depends(documented_key)],
    openapi_extra=request_body(NewSpend, {"count": 1}),
)
async def spend(request: Request) -> Response:
    """Check and charge are one step: however many ask at once, the limit is never exceeded.

    403 with the code `quota_exceeded` when it would be, and then nothing is charged. After a 503,
    or without an answer, send it again with the same `Idempotency-Key`: it is charged once.
    """
    asking = await principal_of(request)
    key = given_key(request)
    asked = await read_document(request, NewSpend)
    name = name_of_users(asking.subject, key)
    decision = await carry_out(
        quotas(request),
        Spend(
            command_id=name.command_id,
            user_id=asking.subject,
            issued_at=now(request),
            reason=asked.reason,
            count=asked.count,
            repeatable=name.repeatable,
        ),
        repeatable=name.repeatable,
    )
    return answer(SpendDocument.of(decision, spend_id=str(name.command_id)))
