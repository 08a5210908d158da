"""From a message to a request or a job, or why it is none."""

from typing import TypeVar

from pydantic import ValidationError

from schemas.explanations import explain
from schemas.generation import GenerationJob, GenerationRequest
from streams.failures import Invalid
from streams.group.keyed import refuse_misplaced
from streams.records import Record

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
        raise Invalid("invalid_field", explain(first, {})[1]) from None
