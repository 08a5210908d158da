"""`GET /analytics/timeseries`: counts and visitors by minute, hour, day, week or month."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from itertools import pairwise
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AfterValidator, BaseModel, Field

from api.analytics.breakdown import most_counted
from api.analytics.buckets import Interval, TooManyBuckets, bucket_starts, local_text, zone_named
from api.analytics.counts import counts
from api.analytics.filters import Filters, GroupBy
from api.analytics.ranges import epoch_ms, period_of, refuse_repeated
from api.identity.access import access
from api.identity.principal import Role
from api.problems import documented, field_problem
from api.state import FromClickHouse, Now
from api.tables import CSV_DOCUMENTED, table_response
from schemas.decoding import canonical_time

router = APIRouter(tags=["analytics"], dependencies=[access(Role.ANALYST)])

MAX_GROUPS: Final = 20
DEFAULT_RANGE: Final[Mapping[Interval, timedelta]] = {
    "minute": timedelta(hours=1),
    "hour": timedelta(days=2),
    "day": timedelta(days=30),
    "week": timedelta(weeks=26),
    "month": timedelta(days=365),
}
"""The range that ends at `to`, when no `from` says where it begins."""

TIMESERIES: Final = """
SELECT bucket, group_value, sum(count), {visitors}
FROM ({counts})
WHERE {{any_value:Bool}} OR group_value IN {{values:Array(String)}}
GROUP BY bucket, group_value
"""


def _named_zone(text: str) -> str:
    zone_named(text)
    return text


class TimeseriesQuestion(Filters):
    """Which events to count, by what stretch of time of which zone's clock.

    Without `to` up to now; without `from` the last hour by minute, 2 days by hour, 30 days by
    day, 26 weeks by week, 365 days by month.
    """

    interval: Annotated[
        Interval, Field(description="What each item covers; weeks from Monday.")
    ] = "day"
    timezone: Annotated[
        str,
        Field(
            description="The IANA zone whose days, weeks and months are meant.",
            examples=["Europe/Berlin"],
        ),
        AfterValidator(_named_zone),
    ] = "UTC"
    group_by: Annotated[
        GroupBy | None,
        Field(description="A series for each of the dimension's most counted values."),
    ] = None
    groups: Annotated[
        int, Field(ge=1, le=MAX_GROUPS, description="With group_by: how many values, most first.")
    ] = 10


class Point(BaseModel):
    """One interval, or what of it lies within the range; `value` is there with `group_by`."""

    start: Annotated[
        datetime, Field(description="When it begins, with the zone's offset at that moment.")
    ]
    value: str | None = None
    count: int
    visitors: int


class Timeseries(BaseModel):
    """Items by time, then the most counted value first; each is there, with 0 where none was."""

    from_: Annotated[datetime, Field(alias="from")]
    to: datetime
    interval: Interval
    timezone: str
    group_by: GroupBy | None
    items: list[Point]


@router.get(
    "/analytics/timeseries",
    summary="Count events over time",
    dependencies=[Depends(refuse_repeated)],
    response_model=Timeseries,
    responses={
        HTTPStatus.OK: CSV_DOCUMENTED,
        **documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
async def count_over_time(
    request: Request,
    question: Annotated[TimeseriesQuestion, Query()],
    clickhouse: FromClickHouse,
    now: Now,
) -> Response:
    """Gaps are filled with zero; a day has 23 or 25 hours when the zone's clock is changed."""
    start, end = period_of(question, now, DEFAULT_RANGE[question.interval])
    starts = _starts(question, start, end)
    boundaries = [epoch_ms(start, start), *(epoch_ms(each, start) for each in starts[1:])]
    boundaries.append(epoch_ms(end, end))
    grouping = question.group_by or ""
    values = [""]
    if grouping:
        whole = counts(question, [boundaries[0], boundaries[-1]], grouping)
        most = await most_counted(clickhouse, whole, question.groups)
        values = [str(value) for value, _, _ in most]
    counted = counts(question, boundaries, grouping)
    rows = await clickhouse.ask(
        TIMESERIES.format(visitors=counted.visitors(), counts=counted.sql),
        {**counted.parameters, "values": values, "any_value": not grouping},
    )
    # A range within one bucket is not cut, and its only bucket not named.
    found = {
        (int(str(bucket)) or boundaries[0], str(value)): (count, visitors)
        for bucket, value, count, visitors in rows
    }
    zone = zone_named(question.timezone)
    points = [
        (
            local_text(moment, zone),
            *([value] if grouping else []),
            # Cut to less than a millisecond, the first one begins at the boundary of the next.
            *(found.get((begin, value), (0, 0)) if begin < next_begin else (0, 0)),
        )
        for moment, (begin, next_begin) in zip(starts, pairwise(boundaries), strict=False)
        for value in values
    ]
    columns: tuple[str, ...] = ("start", "value", "count", "visitors")
    if not grouping:
        columns = ("start", "count", "visitors")
    document = {
        "from": canonical_time(start),
        "to": canonical_time(end),
        "interval": question.interval,
        "timezone": question.timezone,
        "group_by": question.group_by,
        "items": [dict(zip(columns, point, strict=True)) for point in points],
    }
    return table_response(request, document, columns, points)


def _starts(question: TimeseriesQuestion, start: datetime, end: datetime) -> list[datetime]:
    if start >= end:
        return []
    try:
        return bucket_starts(
            start.astimezone(UTC),
            end.astimezone(UTC),
            question.interval,
            zone_named(question.timezone),
        )
    except TooManyBuckets as error:
        raise field_problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, "interval", f"interval {error}"
        ) from None
