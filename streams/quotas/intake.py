"""From a message to a command, or why it is none."""

from datetime import UTC, datetime
from typing import Final

from pydantic import TypeAdapter, ValidationError

from schemas.explanations import explain
from schemas.partitioning import partition_for
from schemas.quotas import MAX_AHEAD, QuotaCommand
from schemas.replies import REPLY_HEADERS, REPLY_PARTITION_HEADER, REQUEST_ID_HEADER
from streams.failures import Invalid
from streams.records import Record

_COMMANDS: Final[TypeAdapter[QuotaCommand]] = TypeAdapter(QuotaCommand)
_ID_BYTES: Final = 16
_ADVICE: Final = {
    "extra_forbidden": "is not a field of this command",
    "string_pattern_mismatch": "is not of the form {pattern}",
    "greater_than_equal": "must be at least {ge}",
}


def read_command(record: Record, partition: int, partitions: int) -> QuotaCommand:
    """The command that a message of this partition is. Raises Invalid, which says why not."""
    try:
        command = _COMMANDS.validate_json(record.value or b"")
    except ValidationError as error:
        raise _invalid(error) from None
    key = command.user_id.encode()
    if record.key != key:
        raise Invalid("wrong_key", "the message key must be the command's user_id")
    if partition_for(key, partitions) != partition:
        raise Invalid(
            "wrong_partition",
            f"the key belongs to partition {partition_for(key, partitions)}: set the producer's "
            "partitioner to murmur2 (murmur2_random in librdkafka)",
        )
    arrived_at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    if command.issued_at > arrived_at + MAX_AHEAD:
        raise Invalid(
            "clock_ahead",
            "issued_at lies more than 5 minutes after the arrival: set the sender's clock",
        )
    return command


def reply_address(record: Record, partitions: int) -> tuple[bytes, int] | None:
    """The request's id (16 bytes) and the partition of `replies`; None: nobody waits."""
    request_id = partition = None
    for name, value in record.headers:
        if name == REQUEST_ID_HEADER:
            request_id = value
        elif name == REPLY_PARTITION_HEADER:
            partition = value
    if request_id is None or partition is None or len(request_id) != _ID_BYTES:
        return None
    if not partition.isdigit() or len(partition) > 4 or int(partition) >= partitions:
        return None
    return request_id, int(partition)


def waiting(record: Record) -> list[tuple[str, bytes]]:
    """The headers by which a worker further on may answer who waits; none for nobody."""
    return [
        (name, value)
        for name, value in record.headers
        if name in REPLY_HEADERS and value is not None
    ]


def _invalid(error: ValidationError) -> Invalid:
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return Invalid("not_json", "the message is not JSON")
    if first["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        return Invalid("unknown_kind", "`kind` is none that this version of Weir knows")
    return Invalid("invalid_field", explain(first, _ADVICE)[1])
