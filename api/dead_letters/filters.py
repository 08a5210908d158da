"""Which dead letters: the filters that a list and a bulk action share, and their SQL."""

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from api.analytics.ranges import LATEST, NOT_BEFORE_START, Moment, epoch_ms
from api.cursors import Cursor
from schemas.limits import EARLIEST_OCCURRED_AT

State = Literal["open", "replayed", "discarded"]
StateFilter = Literal["open", "replayed", "discarded", "all"]

Topic = Annotated[str, Field(min_length=1, max_length=249, pattern=r"^[A-Za-z0-9._-]+$")]
Reason = Annotated[str, Field(min_length=1, max_length=100)]

# The table's key (received_at, letter_topic, …) read backwards, as for events. A letter comes
# after the message that it is about: with SKEW between them, `from` cuts
# the range of the index.
MATCHING: Final = """
WHERE received_at <= fromUnixTimestamp64Milli({cursor_ms:Int64})
  AND (received_at, letter_topic, letter_partition, letter_incarnation, letter_offset) < (
    fromUnixTimestamp64Milli({cursor_ms:Int64}),
    {cursor_topic:String}, {cursor_partition:UInt16},
    {cursor_incarnation:UInt32}, {cursor_offset:UInt64}
  )
  AND received_at >= fromUnixTimestamp64Milli({end_ms:Int64})
  AND (received_at, letter_topic, letter_partition, letter_incarnation, letter_offset) >= (
    fromUnixTimestamp64Milli({end_ms:Int64}),
    {end_topic:String}, {end_partition:UInt16},
    {end_incarnation:UInt32}, {end_offset:UInt64}
  )
  AND received_at >= fromUnixTimestamp64Milli({letters_from:Int64})
  AND arrived_at >= fromUnixTimestamp64Milli({start:Int64})
  AND arrived_at < fromUnixTimestamp64Milli({end:Int64})
  AND ({topic:String} = '' OR topic = {topic:String})
  AND ({reason:String} = '' OR reason = {reason:String})
  """
NEWEST_FIRST: Final = """
ORDER BY received_at DESC, letter_topic DESC, letter_partition DESC, letter_incarnation DESC,
    letter_offset DESC
LIMIT {limit:UInt32} OFFSET {skipped:UInt32}
"""
SKEW: Final = timedelta(hours=1)
"""So much may the clocks of brokers differ."""
_BEFORE_ALL: Final = Cursor(0, "", 0, 0, 0)


class Filters(BaseModel):
    """Only dead letters of this topic, with this reason, that arrived in this range."""

    model_config = ConfigDict(extra="forbid")

    topic: Annotated[
        Topic | None,
        Field(
            description="Only messages of this topic, by its name on the cluster.",
            examples=["page-views"],
        ),
    ] = None
    reason: Annotated[
        Reason | None,
        Field(description="Only those with this reason.", examples=["invalid_field"]),
    ] = None
    start: Annotated[
        Moment | None,
        Field(
            alias="from",
            description="Only messages that arrived then or later: RFC 3339 with a zone "
            "(in a URL write + as %2B).",
            examples=["2026-11-01T00:00:00Z"],
        ),
    ] = None
    end: Annotated[
        Moment | None,
        Field(alias="to", description="As `from`, exclusive.", examples=["2026-12-01T00:00:00Z"]),
        NOT_BEFORE_START,
    ] = None

    @field_validator("start", "end", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        """In JSON a number would be read as seconds since 1970."""
        if value is not None and not isinstance(value, str | datetime):
            raise ValueError("must be a string, such as 2026-11-24T09:30:00Z (RFC 3339)")
        return value


def parameters(filters: Filters, behind: Cursor, to: Cursor | None = None) -> dict[str, object]:
    """What `MATCHING` binds: for letters behind a cursor, up to another and with that."""
    to = to or _BEFORE_ALL
    start = filters.start or EARLIEST_OCCURRED_AT
    letters_from = max(start - SKEW, EARLIEST_OCCURRED_AT)
    return {
        "start": epoch_ms(start, start),
        "letters_from": epoch_ms(letters_from, letters_from),
        "end": epoch_ms(filters.end, LATEST),
        "topic": filters.topic or "",
        "reason": filters.reason or "",
        **behind.parameters(),
        **to.parameters("end"),
    }
