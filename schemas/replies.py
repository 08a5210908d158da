"""Answers of workers to edge processes that wait for them, on the topic `replies`."""

from typing import Final

from pydantic import BaseModel, ConfigDict

from schemas.generation import GenerationResult
from schemas.quotas import Id, QuotaDecision

REQUEST_ID_HEADER: Final = "request-id"
REPLY_PARTITION_HEADER: Final = "reply-partition"
"""Headers of a message that waits for a reply: 16 bytes, and a number of `replies` in ASCII.

Who passes the message on in another form passes them on with it.
"""

REPLY_HEADERS: Final = frozenset({REQUEST_ID_HEADER, REPLY_PARTITION_HEADER})


class Reply(BaseModel):
    """One answer to one request; a request for a post gets a decision, then a result."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    request_id: Id
    decision: QuotaDecision | None = None
    result: GenerationResult | None = None
