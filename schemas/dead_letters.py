"""The dead letter: a message that could not be used, kept with where it lay and why."""

from typing import Annotated, Literal
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field

_NAMESPACE = UUID("6f1f1a55-5d1c-5b5e-9b5e-2f6c1f2d7c11")


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
    encoding: Annotated[
        Literal["utf-8", "base64"], Field(description="How key and payload are written here.")
    ]


def dead_letter_id(topic: str, partition: int, offset: int, arrived_at: int) -> UUID:
    """The same message always has the same id, so a repeated attempt counts once.

    `arrived_at` is the broker's time in epoch ms: it tells the message from one that lies at the
    same offset of a topic that was made anew.
    """
    return uuid5(_NAMESPACE, f"{topic}:{partition}:{offset}:{arrived_at}")
