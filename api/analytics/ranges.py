"""Parameters that questions share: the range of time, the kind of event, how many."""

import re
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Request
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
)

from api.problems import field_problem
from schemas.explanations import shown
from schemas.limits import (
    EARLIEST_OCCURRED_AT,
    MAX_EVENT_TYPE_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_PATH_CHARACTERS,
)

LATEST: Final = datetime(2106, 1, 1, tzinfo=UTC)
"""The end of what ClickHouse's DateTime can say, which hours are kept in."""

_DATE: Final = re.compile(r"[0-9]{4}-")
_LOST_PLUS: Final = re.compile(r".*:[0-9.]+ [0-9]{2}:?[0-9]{2}")
_AN_EXAMPLE: Final = "such as 2026-11-24T09:30:00Z (RFC 3339)"


def _written_as_a_date(value: object) -> object:
    """Refuses numbers, which pydantic would read as seconds since 1970."""
    if isinstance(value, str):
        if _LOST_PLUS.fullmatch(value):
            raise ValueError("has a space before its offset; write the + as %2B in a URL")
        if not _DATE.match(value):
            raise ValueError(f"must be a date and time with a zone, {_AN_EXAMPLE}")
    return value


def _within_reach(moment: datetime) -> datetime:
    if not EARLIEST_OCCURRED_AT <= moment <= LATEST:
        raise ValueError(
            f"must lie between {EARLIEST_OCCURRED_AT.year} and {LATEST.year}; "
            "leave it out to have no bound"
        )
    return moment


Moment = Annotated[
    AwareDatetime, BeforeValidator(_written_as_a_date), AfterValidator(_within_reach)
]
EventType = Annotated[str, Field(min_length=1, max_length=MAX_EVENT_TYPE_CHARACTERS)]
Path = Annotated[str, Field(min_length=1, max_length=MAX_PATH_CHARACTERS)]
User = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS)]


def _not_before_start(end: datetime | None, so_far: ValidationInfo) -> datetime | None:
    start = so_far.data.get("start")
    if start and end and start > end:
        raise ValueError("is before `from`; swap the two")
    return end


NOT_BEFORE_START: Final = AfterValidator(_not_before_start)
"""For the end of a range, in a model that has its `start` before it."""


class Range(BaseModel):
    """A range of time of occurrence: from inclusive, to exclusive, each open when absent."""

    model_config = ConfigDict(extra="forbid")

    event_type: Annotated[
        EventType | None,
        Field(description="Only events of this type; absent: all.", examples=["page_view"]),
    ] = None
    start: Annotated[
        Moment | None,
        Field(
            alias="from",
            description="RFC 3339 with a zone (write + as %2B), inclusive.",
            examples=["2026-11-01T00:00:00Z"],
        ),
    ] = None
    end: Annotated[
        Moment | None,
        Field(alias="to", description="As `from`, exclusive.", examples=["2026-12-01T00:00:00Z"]),
        NOT_BEFORE_START,
    ] = None


async def refuse_repeated(request: Request) -> None:
    """Raises a 422 Problem for a parameter that is given twice, of which one would not count."""
    names: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name in names:
            raise field_problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                shown(name),
                f"{shown(name)} is given twice; give it once",
            )
        names.add(name)


def epoch_ms(moment: datetime | None, otherwise: datetime) -> int:
    """Milliseconds since 1970, rounded up: times are kept to the millisecond."""
    micros = ((moment or otherwise) - EARLIEST_OCCURRED_AT) // _MICROSECOND
    return -(-micros // 1000)


def boundaries_of(range_: Range) -> list[int]:
    """Begin and end in epoch ms; open ends reach as far as there are times."""
    return [epoch_ms(range_.start, EARLIEST_OCCURRED_AT), epoch_ms(range_.end, LATEST)]


def period_of(range_: Range, now: datetime, otherwise: timedelta) -> tuple[datetime, datetime]:
    """Begin and end: without `to` it ends now, without `from` it begins so much earlier."""
    end = range_.end or max(now, range_.start or now)
    return range_.start or max(EARLIEST_OCCURRED_AT, end - otherwise), end


_MICROSECOND: Final = datetime.resolution
