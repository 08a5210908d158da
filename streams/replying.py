"""Who waits for an answer to a message: read from its headers, and passed on with it."""

from typing import Final

from schemas.replies import REPLY_HEADERS, REPLY_PARTITION_HEADER, REQUEST_ID_HEADER
from streams.records import Record

_ID_BYTES: Final = 16


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
