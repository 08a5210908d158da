"""A sign of life that goes the way of all events: how long it takes is how fresh answers are."""

from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Id = Annotated[UUID, Field(strict=False)]


class Heartbeat(BaseModel):
    """One of a process. It is no event: nothing but freshness is measured by it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    heartbeat_id: Id
    process_id: Annotated[Id, Field(description="Of the API process that waits for it.")]
    number: Annotated[int, Field(ge=1, lt=1 << 53, description="Of the process's, from 1.")]
    sent_at: Annotated[AwareDatetime, Field(strict=False)]
