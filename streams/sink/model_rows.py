"""Rows of messages that only Weir itself writes: all of a topic's are of one model."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from schemas.decoding import invalid_event
from streams.failures import Invalid
from streams.records import Record
from streams.sink.records import Made, Row, Source

_Model = TypeVar("_Model", bound=BaseModel)


def rows_of_model(
    model: type[_Model],
    records: Sequence[Record],
    row: Callable[[_Model, Record], tuple[bytes, Row] | None],
) -> Made:
    """The rows of records: `row` gives id and columns, None for no row, or raises Invalid."""
    made = Made([], [], [])
    for record in records:
        try:
            one = row(model.model_validate_json(record.value or b""), record)
        except ValidationError as error:
            failure = Invalid("invalid_field", invalid_event(error).detail)
            made.invalid.append((record, failure))
        except Invalid as failure:
            made.invalid.append((record, failure))
        else:
            if one is not None:
                identity, columns = one
                made.ids.append(identity)
                made.rows.append(columns)
    return made


def arrival(source: Source, record: Record) -> Row:
    """When the record arrived and where it lies, as each table but `events` ends."""
    return (
        record.timestamp / 1000,
        source.partition.topic,
        source.partition.partition,
        source.incarnation,
        record.offset,
    )
