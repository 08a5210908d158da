"""What the edge says about an account: its document, or the problem that a command met."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Final, Self

import orjson
from fastapi import Response
from pydantic import BaseModel, Field

from api.problems import FieldProblem, Problem, unavailable
from api.quotas.desk import RETRY_AFTER, NoDecision
from api.quotas.idempotency import NAME
from schemas.decoding import canonical_time
from schemas.quotas import Problem as ProblemCode
from schemas.quotas import QuotaDecision

_PRIVATE: Final = {"Cache-Control": "private, no-store"}


class PlanDocument(BaseModel):
    """Where a user stands in the running period. Amounts in credits."""

    plan: Annotated[str, Field(examples=["free"])]
    quota_used: Annotated[int, Field(ge=0, examples=[12], description="In this period.")]
    limit: Annotated[
        int, Field(ge=0, examples=[100], description="The plan's, and top-ups with it.")
    ]
    remaining: Annotated[int, Field(ge=0, examples=[88])]
    period_start: Annotated[str, Field(examples=["2026-11-01T00:00:00.000Z"])]
    resets_at: Annotated[
        str,
        Field(examples=["2026-12-01T00:00:00.000Z"], description="When the next period begins."),
    ]

    @classmethod
    def of(cls, decision: QuotaDecision, **further: object) -> Self:
        """The account after a decision."""
        return cls.model_validate(
            {
                "plan": decision.plan,
                "quota_used": decision.quota_used,
                "limit": decision.limit,
                "remaining": decision.remaining,
                "period_start": canonical_time(decision.period_start),
                "resets_at": canonical_time(decision.resets_at),
                **further,
            }
        )


class SpendDocument(PlanDocument):
    """The account after a spend."""

    spend_id: Annotated[str, Field(description="Names the spend, such as for its refund.")]


def answer(document: BaseModel) -> Response:
    return Response(
        orjson.dumps(document.model_dump()), media_type="application/json", headers=_PRIVATE
    )


_STATUS: Final[Mapping[ProblemCode, HTTPStatus]] = {
    "quota_exceeded": HTTPStatus.FORBIDDEN,
    "unknown_spend": HTTPStatus.NOT_FOUND,
    "already_refunded": HTTPStatus.CONFLICT,
    "period_over": HTTPStatus.CONFLICT,
    "refund_too_large": HTTPStatus.CONFLICT,
    "too_many_top_ups": HTTPStatus.CONFLICT,
    "unknown_plan": HTTPStatus.UNPROCESSABLE_ENTITY,
    "period_not_begun": HTTPStatus.UNPROCESSABLE_ENTITY,
    "conflict": HTTPStatus.UNPROCESSABLE_ENTITY,
}
_FIELDS: Final[Mapping[ProblemCode, str]] = {
    "unknown_plan": "plan",
    "period_not_begun": "period",
    "conflict": NAME,
}
_SENTENCES: Final[Mapping[ProblemCode, str]] = {
    "unknown_spend": "this account has no spend with this id, or it was too long ago; "
    "`spend_id` of the answer to a spend names it",
    "already_refunded": "this spend was refunded already",
    "period_over": "the period that this is about is over; nothing of it can be given back",
    "refund_too_large": "the spend was of fewer credits than this; leave `count` out for all",
    "too_many_top_ups": "this account holds as many top-ups as it may; wait until some are used",
    "unknown_plan": "there is no such plan; GET /api/plans lists them",
    "period_not_begun": "the period has not begun yet; send the running one now, and this when it "
    "has begun",
    "conflict": f"this {NAME} was used for another request; choose a new one",
}


def refused(decision: QuotaDecision, code: ProblemCode) -> Problem:
    """The problem document of a command that was refused: nothing was changed."""
    account = {
        "limit": decision.limit,
        "quota_used": decision.quota_used,
        "remaining": decision.remaining,
        "resets_at": canonical_time(decision.resets_at),
    }
    if code == "quota_exceeded":
        detail = (
            f"{decision.count:,} credits would exceed the quota: {decision.remaining:,} of "
            f"{decision.limit:,} remain until {account['resets_at']}"
        )
        members = {"code": code, "requested": decision.count, **account}
        return Problem(_STATUS[code], detail, members=members)
    detail = _SENTENCES[code]
    field = _FIELDS.get(code)
    errors = [FieldProblem(field=field, detail=detail)] if field else []
    return Problem(_STATUS[code], detail, errors=errors, members={"code": code})


def undecided(error: NoDecision, *, changes: bool, repeatable: bool) -> Problem:
    """503. `changes`: the command asked for a change; `repeatable`: it has a key."""
    if not changes:
        said = "nothing was asked to change, so ask again"
    elif not error.sent:
        said = "nothing was changed; send it again"
    elif repeatable:
        said = (
            f"whether it was done is not known. Send it again with the same {NAME}: it is done once"
        )
    else:
        said = (
            "whether it was done is not known, and sending it again may do it twice: look at the "
            f"account first, and give each change an {NAME} of its own, with which it can be sent "
            "again"
        )
    return unavailable(f"{error.reason}; {said}", retry_after=RETRY_AFTER)
