"""From a message to a request or a job, or why it is none."""

from schemas.generation import GenerationJob, GenerationRequest
from streams.group.keyed import refuse_misplaced
from streams.message_models import read_model
from streams.records import Record


def read_request(record: Record, partition: int, partitions: int) -> GenerationRequest:
    """The request that a message is. Raises Invalid, which says why it is none."""
    request = read_model(GenerationRequest, record)
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
    job = read_model(GenerationJob, record)
    refuse_misplaced(
        record,
        user_id=job.user_id,
        said_at=job.requested_at,
        partition=partition,
        partitions=partitions,
    )
    return job
