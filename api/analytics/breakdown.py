"""`GET /analytics/breakdown`: how often each value of a dimension, by how many visitors."""

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from api.analytics.counts import Counts, counts
from api.analytics.filters import Filters, GroupBy
from api.analytics.ranges import boundaries_of, refuse_repeated
from api.clickhouse import ClickHouseReader, Row
from api.identity.access import access
from api.identity.principal import Role
from api.problems import documented
from api.state import FromClickHouse
from api.tables import CSV_DOCUMENTED, table_response

router = APIRouter(tags=["analytics"], dependencies=[access(Role.ANALYST)])


# Most first, and equal ones in an order that does not change.
MOST_COUNTED: Final = """
SELECT group_value, sum(count) AS total, {visitors}
FROM ({counts})
GROUP BY group_value
ORDER BY total DESC, group_value
LIMIT {{limit:UInt32}}
"""


class BreakdownQuestion(Filters):
    """Which events to count, and what to tell them apart by."""

    by: Annotated[GroupBy, Field(description="The dimension whose values are counted.")]
    limit: Annotated[int, Field(ge=1, le=10_000, description="How many values, most first.")] = 100


class ValueCount(BaseModel):
    """One value; empty for the events that have none. For `visitors` see docs/events.md."""

    value: str
    count: int
    visitors: int


class Breakdown(BaseModel):
    by: GroupBy
    items: list[ValueCount]


@router.get(
    "/analytics/breakdown",
    summary="Count events by a dimension",
    dependencies=[Depends(refuse_repeated)],
    response_model=Breakdown,
    responses={
        HTTPStatus.OK: CSV_DOCUMENTED,
        **documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
async def break_down(
    request: Request, question: Annotated[BreakdownQuestion, Query()], clickhouse: FromClickHouse
) -> Response:
    """Values with their counts, most first; equal counts by value."""
    counted = counts(question, boundaries_of(question), question.by)
    rows = await most_counted(clickhouse, counted, question.limit)
    columns = ("value", "count", "visitors")
    items = [dict(zip(columns, row, strict=True)) for row in rows]
    return table_response(request, {"by": question.by, "items": items}, columns, rows)


async def most_counted(clickhouse: ClickHouseReader, counted: Counts, limit: int) -> list[Row]:
    """Values, their counts and visitors, most counted first."""
    sql = MOST_COUNTED.format(visitors=counted.visitors(), counts=counted.sql)
    return await clickhouse.ask(sql, {**counted.parameters, "limit": limit})
