"""Sends a command to the worker that keeps the user's account, and waits for what it decided."""

import asyncio
from dataclasses import dataclass
from typing import Final

from api.publishing import KafkaUnavailable, Message, Publisher
from api.replies import Replies, RepliesUnavailable
from schemas.quotas import PlanChanged, QuotaDecision, Refund, Restore, Show, Spend, TopUp
from schemas.topics import QUOTA_COMMANDS

Command = Show | Spend | Refund | TopUp | PlanChanged | Restore

RETRY_AFTER: Final = 1.0
"""Seconds: a worker that was restarted is back about then."""


@dataclass
class NoDecision(Exception):
    """Nobody said what became of a command. `sent`: it may still be carried out."""

    reason: str
    sent: bool


class QuotaDesk:
    """Where the edge asks about accounts. Commands of one user are decided in their order."""

    def __init__(self, publisher: Publisher, replies: Replies, *, timeout: float) -> None:
        """`timeout`: seconds until an answer is no longer waited for."""
        self._publisher = publisher
        self._replies = replies
        self._timeout = timeout

    async def decide(self, command: Command) -> QuotaDecision:
        """What became of the command. Raises NoDecision, in the timeout.

        The same command may be sent again after that: it is carried out once.
        """
        try:
            with self._replies.expected() as expected:
                message = Message(
                    QUOTA_COMMANDS.name,
                    command.user_id.encode(),
                    command.model_dump_json(exclude_none=True).encode(),
                    expected.headers,
                )
                try:
                    async with asyncio.timeout(self._timeout):
                        await self._publisher.publish([message])
                        return await expected.decision
                except TimeoutError:
                    raise NoDecision(
                        "the quotas worker did not answer in time", sent=True
                    ) from None
                except KafkaUnavailable as error:
                    raise NoDecision(str(error), sent=True) from None
        except RepliesUnavailable as error:
            raise NoDecision(str(error), sent=False) from None
