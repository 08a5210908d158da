"""From a message to a request or a job, or why it is none."""

from typing import Final, TypeVar

from pydantic import ValidationError

from schemas.explanations import advice_of, explain
from schemas.generation import GenerationJob, GenerationRequest
from streams.failures import Invalid
from streams.group.keyed import refuse_misplaced
from streams.records import Record

_TOO_LATE: Final = "is 2106 or later; send the time when it was asked for"
_ADVICE: Final = {
    "extra_forbidden": "is not a field of this message",
    "literal_error": "must be {expected}",
    # Of the fields that say nothing about themselves, only a user's name has a pattern, and only
    # moments are compared.
    "string_pattern_mismatch": "must hold no control characters",
    "less_than_equal": _TOO_LATE,
    "less_than": _TOO_LATE,
}

_Model = TypeVar("_Model", GenerationRequest, GenerationJob)


def read_request(record: Record, partition: int, partitions: int) -> GenerationRequest:
    """The request that a message is. Raises Invalid, which says why it is none."""
    request = _read(GenerationRequest, record)
    refuse_misplaced(
        record,
        user_id=request.user_id,
        said_at=request.issued_at,
        partition=partition,
        partitions=partitions,
    )
    return request


def read_job(record: Record, partition: int, partitions: int) -> GenerationJob:
    """The job that a message is. Raises Invalid, which says why it is none."""
    job = _read(GenerationJob, record)
    refuse_misplaced(
        record,
        user_id=job.user_id,
        said_at=job.requested_at,
        partition=partition,
        partitions=partitions,
    )
    return job


def _read(model: type[_Model], record: Record) -> _Model:
    try:
        return model.model_validate_json(record.value or b"")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise Invalid("not_json", "the message is not JSON") from None
        if not first["loc"]:
            raise Invalid("invalid_field", "the message must be a JSON object") from None
        _, detail = explain(first, {**_ADVICE, **advice_of(model, first)})
        raise Invalid("invalid_field", detail) from None
