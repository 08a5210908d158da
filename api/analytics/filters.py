"""Which events count: the same parameters in every question, as conditions on the raw events."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field

from api.analytics.ranges import Path, Range, User
from schemas.limits import MAX_NAME_CHARACTERS, MAX_PATH_CHARACTERS

Bots = Literal["exclude", "include", "only"]
Dimension = Literal[
    "path",
    "referrer",
    "country",
    "device",
    "browser",
    "os",
    "status",
    "method",
    "route",
    "source",
]
# One literal: of a union, what is wrong would be said once for each part.
GroupBy = Literal[Dimension, "event_type"]
DIMENSIONS: Final[tuple[Dimension, ...]] = (
    "path",
    "referrer",
    "country",
    "device",
    "browser",
    "os",
    "status",
    "method",
    "route",
    "source",
)
"""What the rollups count by, and columns of `events`; event_type is a key of each rollup."""

_Short = Annotated[str, Field(max_length=MAX_NAME_CHARACTERS)]
_NONE: Final = " Empty: only events without one."


class Filters(Range):
    """Which events: a range of time, and what they must be; all of what is given holds."""

    bots: Annotated[
        Bots,
        Field(description="Events of known bots are kept apart: leave them out, in, or alone."),
    ] = "exclude"
    path: Annotated[Path | None, Field(description="Only events of this path.")] = None
    user_id: Annotated[User | None, Field(description="Only events of this user.")] = None
    referrer: Annotated[
        _Short | None,
        Field(description="Only events that came from this domain." + _NONE, examples=["t.co"]),
    ] = None
    country: Annotated[
        _Short | None,
        Field(description="Only events from this country (ISO 3166)." + _NONE, examples=["DE"]),
    ] = None
    device: Annotated[
        _Short | None,
        Field(description="Only events from such a device." + _NONE, examples=["mobile"]),
    ] = None
    browser: Annotated[
        _Short | None,
        Field(description="Only events from this browser." + _NONE, examples=["Firefox"]),
    ] = None
    os: Annotated[
        _Short | None,
        Field(description="Only events from this operating system." + _NONE, examples=["iOS"]),
    ] = None
    status: Annotated[
        _Short | None,
        Field(description="Only events with this HTTP status." + _NONE, examples=["200"]),
    ] = None
    method: Annotated[
        _Short | None,
        Field(description="Only events with this HTTP method." + _NONE, examples=["GET"]),
    ] = None
    route: Annotated[
        Annotated[str, Field(max_length=MAX_PATH_CHARACTERS)] | None,
        Field(
            description="Only events of this route of the service." + _NONE,
            examples=["/users/{id}"],
        ),
    ] = None
    source: Annotated[
        _Short | None, Field(description="Only events from this source." + _NONE, examples=["web"])
    ] = None

    def by_dimension(self) -> dict[Dimension, str]:
        """The values asked for, by dimension."""
        values = {dimension: getattr(self, dimension) for dimension in DIMENSIONS}
        return {dimension: value for dimension, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL that holds for some rows, beginning with AND or empty, and what is bound in it."""

    sql: str
    parameters: dict[str, object]


def of_key(filters: Filters) -> Condition:
    """What `event_type` and `bot` must be: columns of `events` and of each rollup."""
    sql, parameters = "", {}
    if filters.event_type is not None:
        sql += " AND event_type = {event_type:String}"
        parameters["event_type"] = filters.event_type
    if filters.bots != "include":
        sql += " AND bot" if filters.bots == "only" else " AND NOT bot"
    return Condition(sql, dict(parameters))


def of_events(filters: Filters) -> Condition:
    """All that the filters say but the range, as columns of `events`."""
    key = of_key(filters)
    values: dict[str, str] = dict(filters.by_dimension().items())
    if filters.user_id is not None:
        values["user_id"] = filters.user_id
    # The names are those of the model's fields, never a client's.
    sql = "".join(f" AND {column} = {{{column}:String}}" for column in values)
    return Condition(key.sql + sql, {**key.parameters, **values})
