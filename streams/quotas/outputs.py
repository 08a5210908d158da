"""What others get of a decision: the ledger's line, thresholds that were crossed, the reply."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from schemas.dead_letters import DeadLetter
from schemas.generation import GenerationJob, refused_result
from schemas.posts import PostOptions
from schemas.quotas import QuotaDecision, QuotaThreshold, Spend, threshold_id_for
from schemas.servers import KafkaSettings
from schemas.topics import (
    DEAD_LETTERS,
    GENERATION_JOBS,
    GENERATION_RESULTS,
    QUOTA_DECISIONS,
    QUOTA_THRESHOLDS,
    REPLIES,
)
from streams.dead_letters import letter_message
from streams.messages import Message


class Outputs:
    """Makes messages; their ids are those of the decision, so that a repeated one is known."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._decisions = settings.topic(QUOTA_DECISIONS.name)
        self._thresholds = settings.topic(QUOTA_THRESHOLDS.name)
        self._replies = settings.topic(REPLIES.name)
        self._dead_letters = settings.topic(DEAD_LETTERS.name)
        self._jobs = settings.topic(GENERATION_JOBS.name)
        self._results = settings.topic(GENERATION_RESULTS.name)

    def of_decision(
        self, partition: int, user_key: bytes, decision: QuotaDecision, encoded: bytes
    ) -> Iterator[Message]:
        """The ledger's line, and an event for each threshold that was crossed."""
        yield Message(self._decisions, partition, user_key, encoded)
        for threshold in decision.crossed:
            event = threshold_event(decision, threshold)
            yield Message(self._thresholds, partition, user_key, event.model_dump_json().encode())

    def reply(self, address: tuple[bytes, int], decision: bytes) -> Message:
        """The answer to the request that waits; `decision` is JSON."""
        request_id, partition = address
        value = b'{"request_id":"%b","decision":%b}' % (
            str(UUID(bytes=request_id)).encode(),
            decision,
        )
        return Message(self._replies, partition, request_id, value)

    def job(
        self,
        partition: int,
        command: Spend,
        post: PostOptions,
        headers: Sequence[tuple[str, bytes]],
        *,
        repeated: bool,
    ) -> Message:
        """The post that a spend paid for; `headers`: of who waits for it."""
        job = GenerationJob(
            **post.model_dump(),
            post_id=command.command_id,
            user_id=command.user_id,
            requested_at=command.issued_at,
            repeated=repeated,
        )
        key = command.user_id.encode()
        return Message(self._jobs, partition, key, job.model_dump_json().encode(), headers)

    def no_job(self, partition: int, command: Spend, decision: QuotaDecision) -> Message:
        """The result of a post whose credits the quota did not allow."""
        result = refused_result(
            post_id=command.command_id,
            user_id=command.user_id,
            requested_at=command.issued_at,
            decided_at=decision.decided_at,
            detail=f"{decision.count} credits would exceed the quota: {decision.remaining} of "
            f"{decision.limit} remain",
        )
        key = command.user_id.encode()
        return Message(self._results, partition, key, result.model_dump_json().encode())

    def dead_letter(self, letter: DeadLetter) -> Message:
        """A command that could not be used."""
        return letter_message(self._dead_letters, letter)


def threshold_event(decision: QuotaDecision, threshold: int) -> QuotaThreshold:
    return QuotaThreshold(
        event_id=threshold_id_for(
            decision.user_id, decision.period_number, decision.period_start, threshold
        ),
        user_id=decision.user_id,
        threshold=threshold,
        plan=decision.plan,
        limit=decision.limit,
        quota_used=decision.quota_used,
        period_start=decision.period_start,
        resets_at=decision.resets_at,
        occurred_at=decision.decided_at,
    )
