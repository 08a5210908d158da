"""Rows of social posts: one for each that was paid for, one for what became of each."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import uuid5

from schemas.generation import GenerationJob, GenerationResult, ModelUse, generation_id
from schemas.topics import GENERATION_JOBS, GENERATION_RESULTS, Topic
from streams.failures import Invalid
from streams.records import Record
from streams.sink.model_rows import arrival, rows_of_model
from streams.sink.records import Made, Row, Source

JOB_COLUMNS: Final = (
    "generation_id",
    "post_id",
    "user_id",
    "prompt",
    "platform",
    "tone",
    "language",
    "variants",
    "requested_at",
    "received_at",
    "job_topic",
    "job_partition",
    "job_incarnation",
    "job_offset",
)

RESULT_COLUMNS: Final = (
    "generation_id",
    "post_id",
    "user_id",
    "state",
    "reason",
    "detail",
    "variants.number",
    "variants.caption",
    "variants.picture_key",
    "variants.width",
    "variants.height",
    "credits_charged",
    "credits_refunded",
    "stub",
    "usage.model",
    "usage.calls",
    "usage.input_tokens",
    "usage.output_tokens",
    "usage.images",
    "usage.cost_micros",
    "requested_at",
    "finished_at",
    "received_at",
    "result_topic",
    "result_partition",
    "result_incarnation",
    "result_offset",
)

_MOST_USES: Final = (1 << 32) - 1
_MOST: Final = (1 << 53) - 1


def job_rows(source: Source, records: Sequence[Record]) -> Made:
    """The rows of jobs; one that only asks again for a post has none, and is no dead letter."""

    def row(job: GenerationJob, record: Record) -> tuple[bytes, Row] | None:
        _refuse_wrong_key(GENERATION_JOBS, job.user_id, record)
        if job.repeated:
            return None
        identity = generation_id(job.user_id, job.post_id)
        return identity.bytes, (
            str(identity),
            str(job.post_id),
            job.user_id,
            job.prompt,
            job.platform,
            job.tone,
            job.language,
            job.variants,
            _time(job.requested_at),
            *arrival(source, record),
        )

    return rows_of_model(GenerationJob, records, row)


def result_rows(source: Source, records: Sequence[Record]) -> Made:
    """The rows of results; others have none (somebody else wrote to the topic)."""

    def row(result: GenerationResult, record: Record) -> tuple[bytes, Row]:
        _refuse_wrong_key(GENERATION_RESULTS, result.user_id, record)
        identity = generation_id(result.user_id, result.post_id)
        if not result.credits_charged:
            # Not the same as what comes of the key when it is used again, and paid for.
            identity = uuid5(identity, "refused")
        variants, usage = result.variants, result.usage
        _refuse_too_much(usage)
        return identity.bytes, (
            str(identity),
            str(result.post_id),
            result.user_id,
            result.state,
            result.reason or "",
            result.detail,
            [each.number for each in variants],
            [each.caption for each in variants],
            [each.picture.key for each in variants],
            [each.picture.width for each in variants],
            [each.picture.height for each in variants],
            result.credits_charged,
            result.credits_refunded,
            result.stub,
            [each.model for each in usage],
            [each.calls for each in usage],
            [each.input_tokens for each in usage],
            [each.output_tokens for each in usage],
            [each.images for each in usage],
            [each.cost_micros for each in usage],
            _time(result.requested_at),
            _time(result.finished_at),
            *arrival(source, record),
        )

    return rows_of_model(GenerationResult, records, row)


def _refuse_wrong_key(topic: Topic, user_id: str, record: Record) -> None:
    if record.key != user_id.encode():
        raise Invalid("wrong_key", f"the message key must be the {topic.key}")


def _refuse_too_much(usage: Sequence[ModelUse]) -> None:
    for each in usage:
        counts = (each.calls, each.images)
        amounts = (each.input_tokens, each.output_tokens, each.cost_micros or 0)
        if max(counts) > _MOST_USES or max(amounts) > _MOST:
            # ClickHouse would refuse the whole batch, each time anew.
            raise Invalid("invalid_field", "usage is more than any post can need")


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"
