"""From a message to a command, or why it is none."""

from schemas.quotas import AnyQuotaCommand, Forget, QuotaCommand
from streams.group.keyed import refuse_misplaced
from streams.message_models import read_model
from streams.records import Record


def read_command(record: Record, partition: int, partitions: int) -> QuotaCommand | Forget:
    """The command that a message of this partition is. Raises Invalid, which says why not."""
    command: QuotaCommand | Forget = read_model(AnyQuotaCommand, record).root
    refuse_misplaced(
        record,
        user_id=command.user_id,
        said_at=command.issued_at,
        partition=partition,
        partitions=partitions,
    )
    return command
