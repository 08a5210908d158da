"""Asks for a post, and waits for what is decided and for what comes of it."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Final, TypeVar

from api.publishing import KafkaUnavailable, Message, Publisher
from api.replies import Replies, RepliesUnavailable
from api.social.board import PostBoard
from schemas.generation import GenerationRequest, GenerationResult
from schemas.quotas import QuotaDecision
from schemas.topics import GENERATION_REQUESTS

RETRY_AFTER: Final = 1.0

_Heard = TypeVar("_Heard", QuotaDecision, GenerationResult)


@dataclass
class NotAsked(Exception):
    """The request is not known to be on Kafka. `sent`: it may be there all the same."""

    reason: str
    sent: bool


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard in time: None where nothing was."""

    decision: QuotaDecision | None
    result: GenerationResult | None


class SocialDesk:
    """Where the edge asks for posts."""

    def __init__(self, publisher: Publisher, replies: Replies, board: PostBoard) -> None:
        self._publisher = publisher
        self._replies = replies
        self._board = board

    async def ask(
        self, request: GenerationRequest, *, decision_within: float, result_within: float
    ) -> Heard:
        """Publishes the request and waits, so many seconds, for the decision and the result.

        Raises NotAsked. The same request may be sent again: it is charged and made once.
        """
        began = monotonic()
        try:
            with self._replies.expected() as expected:
                message = Message(
                    GENERATION_REQUESTS.name,
                    request.user_id.encode(),
                    request.model_dump_json().encode(),
                    expected.headers,
                )
                try:
                    await self._publisher.publish([message])
                except KafkaUnavailable as error:
                    raise NotAsked(str(error), sent=True) from None
                decision = await _within(expected.decision, began + decision_within)
                if decision is not None and decision.problem is not None:
                    return Heard(decision, None)
                self._note(request, request.issued_at)
                result = await _within(expected.result, began + result_within)
                if result is not None:
                    self._board.ended(result)
                if expected.decision.done():
                    decision = expected.decision.result()
                return Heard(decision, result)
        except RepliesUnavailable as error:
            raise NotAsked(str(error), sent=False) from None

    def _note(self, request: GenerationRequest, at: datetime) -> None:
        self._board.queued(request.user_id, request.post_id, request.options(), at)


async def _within(future: "asyncio.Future[_Heard]", deadline: float) -> _Heard | None:
    await asyncio.wait({future}, timeout=max(0.0, deadline - monotonic()))
    return future.result() if future.done() else None
