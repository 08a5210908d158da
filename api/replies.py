"""Waits for replies of workers: one partition of `replies`, read from before a request is sent."""

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Self
from uuid import UUID, uuid4

import structlog
from pydantic import ValidationError

from api.following import Record, TopicFollower
from schemas.generation import GenerationResult
from schemas.quotas import QuotaDecision
from schemas.replies import REPLY_PARTITION_HEADER, REQUEST_ID_HEADER, Reply
from schemas.servers import KafkaSettings
from schemas.topics import REPLIES

log = structlog.get_logger()

MAX_WAITING: Final = 10_000
"""So many requests of one process wait at once; each is some 2 KiB."""


class RepliesUnavailable(Exception):
    """No reply can be waited for now, so nothing was sent."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Replies that are waited for: what names them on the request, and where each will stand.

    A command gets a decision; a request for a post gets a decision, then a result.
    """

    headers: list[tuple[str, bytes]]
    decision: asyncio.Future[QuotaDecision]
    result: asyncio.Future[GenerationResult]


class Replies:
    """Reads one partition of `replies` for ever, and hands each reply to who waits for it.

    The partition is chosen by chance and may be shared: request ids are unique. It is read from
    its end as it was before the first request, and after a break from where reading ended: what
    was written meanwhile is not missed. What nobody waits for (any more) is passed over.
    """

    def __init__(self, settings: KafkaSettings, *, max_waiting: int = MAX_WAITING) -> None:
        self._max_waiting = max_waiting
        self._waiting: dict[bytes, Expected] = {}
        self._follower = TopicFollower(
            settings, [REPLIES.name], self._hand_out, start="end", partition="any"
        )

    async def __aenter__(self) -> Self:
        await self._follower.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._follower.__aexit__(*exception)

    def problem(self) -> str | None:
        """Why no replies come now, or None."""
        return self._follower.problem()

    @contextmanager
    def expected(self) -> Iterator[Expected]:
        """Replies that will be there within the block; send the request within it.

        Raises RepliesUnavailable before the first connection, and when too many wait.
        """
        partition = self._follower.partition
        if partition is None or not self._follower.started:
            raise RepliesUnavailable(self.problem() or "connecting to Kafka")
        if len(self._waiting) >= self._max_waiting:
            raise RepliesUnavailable("too many requests wait for a reply")
        request_id = uuid4().bytes
        loop = asyncio.get_running_loop()
        expected = Expected(
            [
                (REQUEST_ID_HEADER, request_id),
                (REPLY_PARTITION_HEADER, str(partition).encode()),
            ],
            decision=loop.create_future(),
            result=loop.create_future(),
        )
        self._waiting[request_id] = expected
        try:
            yield expected
        finally:
            del self._waiting[request_id]

    def _hand_out(self, record: Record) -> None:
        request_id = _request_id(record.key)
        if request_id not in self._waiting:
            return
        reply = _reply(record.value)
        if reply is None:
            log.error("a reply cannot be read and is passed over", offset=record.offset)
            return
        expected = self._waiting[request_id]
        # A worker that died after it replied replies again: the same.
        if reply.decision is not None and not expected.decision.done():
            expected.decision.set_result(reply.decision)
        if reply.result is not None and not expected.result.done():
            expected.result.set_result(reply.result)


def _reply(value: bytes | None) -> Reply | None:
    with contextlib.suppress(ValidationError):
        return Reply.model_validate_json(value or b"")
    return None


def _request_id(key: bytes | None) -> bytes:
    """The request id that a message key says: as 16 bytes or as text."""
    if key is None or len(key) == 16:
        return key or b""
    with contextlib.suppress(ValueError):
        return UUID(key.decode("ascii", "replace")).bytes
    return b""
