"""What a message keyed by user must be like: its key, its partition, its sender's clock."""

from datetime import UTC, datetime

from schemas.partitioning import partition_for
from schemas.quotas import MAX_AHEAD
from streams.failures import Invalid
from streams.records import Record


def refuse_misplaced(
    record: Record, *, user_id: str, said_at: datetime, partition: int, partitions: int
) -> None:
    """Raises Invalid for a message that another partition's worker may take for its own too.

    `said_at`: the sender's time, which decides about periods.
    """
    key = user_id.encode()
    if record.key != key:
        raise Invalid("wrong_key", "the message key must be the message's user_id")
    if partition_for(key, partitions) != partition:
        raise Invalid(
            "wrong_partition",
            f"the key belongs to partition {partition_for(key, partitions)}: set the producer's "
            "partitioner to murmur2 (murmur2_random in librdkafka)",
        )
    arrived_at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    if said_at > arrived_at + MAX_AHEAD:
        raise Invalid(
            "clock_ahead",
            "the sender's time lies more than 5 minutes after the arrival: set the sender's clock",
        )
