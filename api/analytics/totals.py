"""`GET /analytics/totals`: counts, visitors and conversions, each with the period before it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from api.analytics.counts import counts
from api.analytics.filters import Filters
from api.analytics.ranges import epoch_ms, period_of, refuse_repeated
from api.identity.access import access
from api.identity.principal import Role
from api.problems import documented
from api.state import FromClickHouse, Now
from api.tables import CSV_DOCUMENTED, table_response
from schemas.decoding import canonical_time
from schemas.limits import EARLIEST_OCCURRED_AT

router = APIRouter(tags=["analytics"], dependencies=[access(Role.ANALYST)])

DEFAULT_PERIOD: Final = timedelta(days=30)

# All types of events are read, since a conversion rate needs two of them whatever is counted.
# Merging visitors is what takes time: once by type, then of the few types.
TOTALS: Final = """
SELECT
    bucket,
    sumIf(of_type, {counted}),
    {visitors},
    sumIf(of_type, event_type = 'page_view'),
    sumIf(of_type, event_type = 'conversion'),
    {viewers},
    {converters}
FROM
(
    SELECT bucket, event_type, sum(count) AS of_type, {seen} AS seen
    FROM ({counts})
    GROUP BY bucket, event_type
)
GROUP BY bucket
"""
_COUNTED: Final = "{event_type:String} IN ('', event_type)"


class TotalsQuestion(Filters):
    """Which events to count. Without `to` up to now, without `from` the 30 days before."""


class Measure(BaseModel):
    """A number of the period, of the period before, and by what share it changed."""

    value: float | None
    previous: float | None
    change: Annotated[
        float | None,
        Field(description="(value - previous) / previous; null when there is nothing to compare."),
    ]


class Totals(BaseModel):
    """The measures of [from, to) beside those of the time before it that is as long.

    `conversion_rate` is visitors with a conversion by visitors with a page view, null when there
    are none of the latter; it does not heed `event_type`.
    """

    from_: Annotated[datetime, Field(alias="from")]
    to: datetime
    count: Measure
    visitors: Measure
    page_views: Measure
    conversions: Measure
    conversion_rate: Measure


@router.get(
    "/analytics/totals",
    summary="Count events, against the period before",
    dependencies=[Depends(refuse_repeated)],
    response_model=Totals,
    responses={
        HTTPStatus.OK: CSV_DOCUMENTED,
        **documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
async def total(
    request: Request,
    question: Annotated[TotalsQuestion, Query()],
    clickhouse: FromClickHouse,
    now: Now,
) -> Response:
    """The same measures of two periods of one length, one after the other."""
    start, end = period_of(question, now, DEFAULT_PERIOD)
    before = max(EARLIEST_OCCURRED_AT, start - (end - start))
    boundaries = [epoch_ms(each, start) for each in (before, start, end)]
    counted = counts(question.model_copy(update={"event_type": None}), boundaries, "")
    sql = TOTALS.format(
        counted=_COUNTED,
        visitors=counted.visitors(_COUNTED),
        viewers=counted.visitors("event_type = 'page_view'"),
        converters=counted.visitors("event_type = 'conversion'"),
        seen=counted.merged_state(),
        counts=counted.sql,
    )
    rows = await clickhouse.ask(
        sql, {**counted.parameters, "event_type": question.event_type or ""}
    )
    by_bucket = {int(str(row[0])): [int(str(each)) for each in row[1:]] for row in rows}
    current = _measures(by_bucket.get(boundaries[1]))
    # Where there is no time before, at the begin of 1970, both periods begin at one boundary.
    previous = _measures(by_bucket.get(boundaries[0]) if boundaries[0] < boundaries[1] else None)
    measures = {
        name: {
            "value": current[name],
            "previous": previous[name],
            "change": _change(current[name], previous[name]),
        }
        for name in current
    }
    document = {"from": canonical_time(start), "to": canonical_time(end), **measures}
    columns = ("measure", "value", "previous", "change")
    return table_response(
        request,
        document,
        columns,
        [(name, *measure.values()) for name, measure in measures.items()],
    )


def _measures(row: Sequence[int] | None) -> dict[str, float | None]:
    count, visitors, page_views, conversions, viewers, converters = row or (0,) * 6
    return {
        "count": count,
        "visitors": visitors,
        "page_views": page_views,
        "conversions": conversions,
        "conversion_rate": round(converters / viewers, 6) if viewers else None,
    }


def _change(value: float | None, previous: float | None) -> float | None:
    if value is None or not previous:
        return None
    return round((value - previous) / previous, 6)
