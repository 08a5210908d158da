"""The dead letter: a message that could not be used, kept with where it lay and why."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from uuid import UUID, uuid5

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.limits import EARLIEST_OCCURRED_AT

_NAMESPACE: Final = UUID("6f1f1a55-5d1c-5b5e-9b5e-2f6c1f2d7c11")

MAX_PAYLOAD: Final = 1_100_000
"""So many bytes of a value are kept: as base64 within the 2 MiB of `dead-letters`. A compressed
message may be larger: it still lies where the letter says, for as long as its topic keeps it."""

# Letters that were written without `truncated` say it in words alone, as migration 0006 knows too.
_SAYS_TRUNCATED: Final = re.compile(r"[(]kept are the first [0-9]+ of [0-9]+ .*[)]$", re.DOTALL)

Action = Literal["replayed", "discarded"]


def _says_truncated(letter: Mapping[str, object]) -> bool:
    return _SAYS_TRUNCATED.search(str(letter["detail"])) is not None


class DeadLetter(BaseModel):
    """A message on `dead-letters`; topic, partition and offset are the original's."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    dead_letter_id: UUID
    topic: str
    partition: Annotated[int, Field(ge=0, lt=1 << 16)]
    offset: Annotated[int, Field(ge=0, lt=1 << 63)]
    arrived_at: Annotated[
        int, Field(ge=0, lt=1 << 43, description="Epoch milliseconds, the broker's.")
    ]
    reason: Annotated[str, Field(description="A stable word, such as `not_json` or `wrong_key`.")]
    detail: Annotated[str, Field(description="The field and what is wrong with it.")]
    key: str | None
    payload: str | None
    headers: Annotated[
        list[tuple[str, str | None]] | None,
        Field(
            description="The message's headers in their order, name and value; null when there "
            "were none. Letters written before headers were kept lack the field."
        ),
    ] = None
    encoding: Annotated[
        Literal["utf-8", "base64"],
        Field(description="How key, payload and the headers' values are written here."),
    ]
    truncated: Annotated[
        bool,
        Field(
            default_factory=_says_truncated,
            description="Whether only part of the key, the payload or the headers is kept, of "
            "which `detail` says how much. Then the message cannot be judged again, or replayed. "
            "Letters written before lack the field.",
        ),
    ]


class DeadLetterAction(BaseModel):
    """What somebody did about a dead letter: a message on `dead-letter-actions`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    action_id: UUID
    dead_letter_id: UUID
    action: Action
    event_id: Annotated[
        UUID | None, Field(description="The event that a replay published; else null.")
    ] = None
    at: Annotated[
        AwareDatetime,
        Field(
            ge=EARLIEST_OCCURRED_AT,
            lt=datetime(2200, 1, 1, tzinfo=UTC),
            description="When it was asked for, by the API's clock.",
        ),
    ]


def dead_letter_id(topic: str, partition: int, offset: int, arrived_at: int) -> UUID:
    """The same message always has the same id, so a repeated attempt counts once.

    `arrived_at` is the broker's time in epoch ms: it tells the message from one that lies at the
    same offset of a topic that was made anew.
    """
    return uuid5(_NAMESPACE, f"{topic}:{partition}:{offset}:{arrived_at}")


def dead_letter_action(
    letter: UUID, action: Action, at: datetime, event_id: UUID | None = None
) -> DeadLetterAction:
    """The action; the same one about the same letter always has the same id, and is stored once."""
    return DeadLetterAction(
        action_id=uuid5(letter, action),
        dead_letter_id=letter,
        action=action,
        event_id=event_id,
        at=at,
    )
