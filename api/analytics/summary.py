"""`GET /analytics/summary`: how often each path, by how many visitors."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from api.analytics.breakdown import most_counted
from api.analytics.counts import counts
from api.analytics.filters import Filters
from api.analytics.ranges import boundaries_of, refuse_repeated
from api.identity.access import access
from api.identity.principal import Role
from api.problems import documented
from api.state import FromClickHouse
from api.tables import CSV_DOCUMENTED, table_response

router = APIRouter(tags=["analytics"], dependencies=[access(Role.ANALYST)])


class SummaryQuestion(Filters):
    """Which events to count."""

    limit: Annotated[int, Field(ge=1, le=10_000, description="How many paths, most first.")] = 100


class PathCount(BaseModel):
    """One path. `visitors` is an estimate above some 100: see Visitors in docs/events.md."""

    path: str
    count: int
    visitors: int


class Summary(BaseModel):
    items: list[PathCount]


@router.get(
    "/analytics/summary",
    summary="Count events by path",
    dependencies=[Depends(refuse_repeated)],
    response_model=Summary,
    responses={
        HTTPStatus.OK: CSV_DOCUMENTED,
        **documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
async def summarise(
    request: Request, question: Annotated[SummaryQuestion, Query()], clickhouse: FromClickHouse
) -> Response:
    """Paths with their counts, most first; equal counts by path."""
    counted = counts(question, boundaries_of(question), "path")
    rows = await most_counted(clickhouse, counted, question.limit)
    columns = ("path", "count", "visitors")
    items = [dict(zip(columns, row, strict=True)) for row in rows]
    return table_response(request, {"items": items}, columns, rows)
