"""From a message to a command, or why it is none."""

from typing import Final

from pydantic import TypeAdapter, ValidationError

from schemas.explanations import explain
from schemas.quotas import QuotaCommand
from streams.failures import Invalid
from streams.group.keyed import refuse_misplaced
from streams.records import Record

_COMMANDS: Final[TypeAdapter[QuotaCommand]] = TypeAdapter(QuotaCommand)
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
    refuse_misplaced(
        record,
        user_id=command.user_id,
        said_at=command.issued_at,
        partition=partition,
        partitions=partitions,
    )
    return command


def _invalid(error: ValidationError) -> Invalid:
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return Invalid("not_json", "the message is not JSON")
    if first["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        return Invalid("unknown_kind", "`kind` is none that this version of Weir knows")
    return Invalid("invalid_field", explain(first, _ADVICE)[1])
