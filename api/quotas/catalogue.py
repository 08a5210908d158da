"""`GET /api/plans`: the plans there are, for everybody."""

from http import HTTPStatus
from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.etags import ETAG_DOCUMENTED, NOT_MODIFIED_DOCUMENTED, IfNoneMatch, TaggedDocument
from api.identity.access import PUBLIC
from api.problems import documented
from api.state import Plans
from schemas.plans import Catalogue

router = APIRouter(tags=["quotas"], dependencies=[PUBLIC])

# A changed limit holds for users at once; that the list says so may take a minute.
_CACHE_CONTROL: Final = "public, max-age=60"


class PlanEntry(BaseModel):
    """A plan and what it allows."""

    name: Annotated[str, Field(examples=["pro"])]
    title: Annotated[str, Field(examples=["Pro"])]
    limit: Annotated[int, Field(ge=0, examples=[1000], description="Credits of a period.")]
    price: Annotated[
        str | None,
        Field(
            pattern=r"^[0-9]+\.[0-9]{2}$",
            description="A month, in whole units of `currency`; null: it is not sold.",
            examples=["19.00"],
        ),
    ]
    unlocks: Annotated[list[str], Field(examples=[["x", "linkedin"]])]


class PlanCatalogue(BaseModel):
    """All plans."""

    version: Annotated[int, Field(description="Grows with every change.")]
    default: Annotated[str, Field(description="The plan of users who are on none.")]
    currency: Annotated[str, Field(description="ISO 4217, in lower case.", examples=["usd"])]
    plans: list[PlanEntry]


@router.get(
    "/api/plans",
    summary="List the plans",
    response_model=PlanCatalogue,
    responses={
        HTTPStatus.OK.value: {"headers": ETAG_DOCUMENTED},
        HTTPStatus.NOT_MODIFIED.value: NOT_MODIFIED_DOCUMENTED,
        **documented(HTTPStatus.UNPROCESSABLE_ENTITY),
    },
)
async def list_plans(plans: Plans, if_none_match: IfNoneMatch = None) -> Response:
    """In the order of the catalogue, with the credits of a period and what each unlocks."""
    return TaggedDocument.of(_written(plans)).answer(
        if_none_match, media_type="application/json", cache_control=_CACHE_CONTROL
    )


def _written(catalogue: Catalogue) -> bytes:
    return orjson.dumps(
        {
            "version": catalogue.version,
            "default": catalogue.default,
            "currency": catalogue.currency,
            "plans": [
                {
                    "name": plan.name,
                    "title": plan.title,
                    "limit": plan.limit,
                    "price": f"{plan.price // 100}.{plan.price % 100:02}" if plan.price else None,
                    "unlocks": list(plan.unlocks),
                }
                for plan in catalogue.plans.values()
            ],
        }
    )
