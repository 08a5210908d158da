"""The event: what the edge accepts over HTTP and what lies on Kafka."""

from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from schemas.limits import (
    EARLIEST_OCCURRED_AT,
    MAX_EVENT_TYPE_CHARACTERS,
    MAX_METADATA_BYTES,
    MAX_METADATA_DEPTH,
    MAX_NAME_CHARACTERS,
    MAX_PATH_CHARACTERS,
)

EVENT_TYPE_PATTERN = r"^[A-Za-z][A-Za-z0-9_.:/-]*$"


def _written_as_a_date(value: object) -> object:
    """Refuses numbers, which pydantic would read as seconds since 1970, in quotes or not."""
    if not isinstance(value, str) or "-" not in value[:5]:
        raise ValueError("write it as RFC 3339, such as 2026-11-24T09:30:00Z")
    return value


Moment = Annotated[
    AwareDatetime,
    # Not strict, since behind a validator pydantic takes JSON's text for a Python string.
    Field(strict=False, ge=EARLIEST_OCCURRED_AT),
    BeforeValidator(_written_as_a_date),
]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS)]
EventType = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_EVENT_TYPE_CHARACTERS,
        pattern=EVENT_TYPE_PATTERN,
        description="`page_view`, `conversion` or a name of your own; it decides the topic.",
        examples=["page_view"],
    ),
]
Path = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_PATH_CHARACTERS,
        description="What was visited or where it happened; counted in the summary.",
        examples=["/pricing"],
    ),
]
UserId = Annotated[
    Name | None, Field(description="The signed-in user, as you name them.", examples=["u-42"])
]
VisitorId = Annotated[
    Name | None,
    Field(
        description="An anonymous visitor; unique visitors are counted by it, else by user.",
        examples=["v-7f3a"],
    ),
]
Metadata = Annotated[
    dict[str, JsonValue],
    Field(
        description=(
            f"Anything else about it: a JSON object of at most {MAX_METADATA_BYTES} bytes, "
            f"nested at most {MAX_METADATA_DEPTH} deep; kept as you sent it."
        ),
        examples=[{"referrer": "https://example.com/"}],
    ),
]

OccurredAt = Annotated[
    Moment | None,
    Field(
        description=(
            "When it happened (RFC 3339 with a zone, kept to the millisecond); "
            "absent: when it arrives. At most a day in the future."
        ),
        examples=["2026-11-24T09:30:00Z"],
    ),
]
NewEventId = Annotated[
    UUID | None,
    Field(
        description="A UUID; the same one sent again counts once. Absent: the edge makes a UUIDv7."
    ),
]


class EventBody(BaseModel):
    """What an event says, whoever names it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    event_type: EventType
    path: Path
    user_id: UserId = None
    visitor_id: VisitorId = None
    metadata: Metadata = {}
    occurred_at: OccurredAt = None
    source: Annotated[
        Name | None, Field(description="What sent it: a site, service or job.", examples=["web"])
    ] = None


class NewEvent(EventBody):
    """An event as a client sends it over HTTP; the edge names it when the client does not."""

    event_id: NewEventId = None


class Event(EventBody):
    """An event as it lies on `page-views`, `conversions` and `custom-events`."""

    event_id: Annotated[UUID, Field(description="A UUID; the same one again counts once.")]
