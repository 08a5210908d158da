"""The protocol of a transport: how batches reach Weir. Two are here, HTTP and Kafka."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from weir_sdk.messages import Message


@dataclass(frozen=True, slots=True)
class Rejection:
    """One event that Weir cannot use: its place in the batch (from 0), the field, why."""

    index: int
    field: str
    detail: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What Weir said of a batch: all but the rejected ones are confirmed."""

    rejected: tuple[Rejection, ...] = ()


class Unavailable(Exception):
    """One attempt failed and another may succeed.

    `in_doubt` says whether Weir may have the events all the same; `retry_after` (seconds) is
    what Weir asked to wait.
    """

    def __init__(
        self, reason: str, *, in_doubt: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(reason)
        self.in_doubt = in_doubt
        self.retry_after = retry_after


class Refused(Exception):
    """Weir will not take the batch, however often it is sent; the message says what to do."""


class Transport(Protocol):
    """Takes batches to Weir. All calls come from one event loop; several may be under way.

    `start` may be called again after `stop`, and after a fork, from another event loop.
    """

    async def start(self) -> None:
        """Opens what sending needs. Raises Unavailable when that is not possible now."""

    async def send(self, batch: Sequence[Message]) -> Outcome:
        """One attempt to deliver a batch of at least one event; returns when Weir has confirmed.

        Bounded in time. Raises Unavailable or Refused. The same batch may come again.
        """

    async def stop(self) -> None:
        """Closes what is open."""
