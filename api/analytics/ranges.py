"""Parameters that questions share: the range of time, the kind of event, how many."""

from datetime import UTC, datetime
from typing import Annotated, Final, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from schemas.limits import (
    EARLIEST_OCCURRED_AT,
    MAX_EVENT_TYPE_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_PATH_CHARACTERS,
)

LATEST: Final = datetime(2106, 1, 1, tzinfo=UTC)
"""The end of what ClickHouse's DateTime can say, which hours are kept in."""

Moment = Annotated[AwareDatetime, Field(ge=EARLIEST_OCCURRED_AT, le=LATEST)]
EventType = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_EVENT_TYPE_CHARACTERS,
        description="Only events of this type; absent: all.",
        examples=["page_view"],
    ),
]
Path = Annotated[str, Field(min_length=1, max_length=MAX_PATH_CHARACTERS)]
User = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS)]


class Range(BaseModel):
    """A range of time of occurrence: from inclusive, to exclusive, each open when absent."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    event_type: EventType | None = None
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
    ] = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start and self.end and self.start > self.end:
            raise ValueError("from is after to; swap them")
        return self


def epoch_ms(moment: datetime | None, otherwise: datetime) -> int:
    """Milliseconds since 1970, rounded up: times are kept to the millisecond."""
    micros = ((moment or otherwise) - EARLIEST_OCCURRED_AT) // _MICROSECOND
    return -(-micros // 1000)


_MICROSECOND: Final = datetime.resolution
