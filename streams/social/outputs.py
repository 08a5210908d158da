"""What a request and an outcome lead to: commands, results, replies, progress, dead letters."""

from schemas.dead_letters import DeadLetter
from schemas.generation import (
    GenerationProgress,
    GenerationRequest,
    GenerationResult,
    refund_id_for,
)
from schemas.quotas import Refund, Spend
from schemas.replies import Reply
from schemas.servers import KafkaSettings
from schemas.topics import (
    DEAD_LETTERS,
    GENERATION_PROGRESS,
    GENERATION_RESULTS,
    QUOTA_COMMANDS,
    REPLIES,
)
from streams.dead_letters import letter_message
from streams.messages import Message
from streams.records import Record
from streams.replying import reply_address, waiting


class Outputs:
    """Makes messages; their ids follow from the post, so that a repeated one is known."""

    def __init__(self, settings: KafkaSettings, reply_partitions: int) -> None:
        self._commands = settings.topic(QUOTA_COMMANDS.name)
        self._results = settings.topic(GENERATION_RESULTS.name)
        self._progress = settings.topic(GENERATION_PROGRESS.name)
        self._replies = settings.topic(REPLIES.name)
        self._dead_letters = settings.topic(DEAD_LETTERS.name)
        self._reply_partitions = reply_partitions

    def spend(self, partition: int, request: GenerationRequest, record: Record) -> Message:
        """The command that takes the credits, and lets who waits know."""
        command = Spend(
            command_id=request.post_id,
            user_id=request.user_id,
            issued_at=request.issued_at,
            reason="social post",
            count=request.variants,
            post=request.options(),
        )
        return Message(
            self._commands,
            partition,
            request.user_id.encode(),
            command.model_dump_json(exclude_none=True).encode(),
            waiting(record),
        )

    def refund(self, partition: int, result: GenerationResult) -> Message:
        """The command that gives back what was charged for variants that could not be made."""
        command = Refund(
            command_id=refund_id_for(result.user_id, result.post_id),
            user_id=result.user_id,
            issued_at=result.finished_at,
            reason="social post failed",
            spend_id=result.post_id,
            count=result.credits_refunded,
        )
        return Message(
            self._commands,
            partition,
            result.user_id.encode(),
            command.model_dump_json(exclude_none=True).encode(),
        )

    def result(self, partition: int, result: GenerationResult) -> Message:
        """What became of the post."""
        return Message(
            self._results,
            partition,
            result.user_id.encode(),
            result.model_dump_json().encode(),
        )

    def reply(self, record: Record, result: GenerationResult) -> Message | None:
        """The answer to who waits; None: nobody does."""
        address = reply_address(record, self._reply_partitions)
        if address is None:
            return None
        request_id, partition = address
        reply = Reply.model_validate({"request_id": _text(request_id), "result": result})
        return Message(
            self._replies,
            partition,
            request_id,
            reply.model_dump_json(exclude_none=True).encode(),
        )

    def progress(self, partition: int, step: GenerationProgress) -> Message:
        """A step on the way."""
        return Message(
            self._progress,
            partition,
            step.user_id.encode(),
            step.model_dump_json(exclude_none=True).encode(),
        )

    def dead_letter(self, letter: DeadLetter) -> Message:
        """A message that could not be used."""
        return letter_message(self._dead_letters, letter)


def _text(request_id: bytes) -> str:
    return request_id.hex()
