"""From a message's bytes to the model of its topic, or why it is none."""

from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from schemas.explanations import advice_of, explain
from streams.failures import Invalid
from streams.records import Record

_TOO_LATE: Final = "is 2106 or later; send the time when it was asked for"
_ADVICE: Final = {
    "extra_forbidden": "is not a field of this message",
    "literal_error": "must be {expected}",
    # Of the fields that say nothing about themselves, only names and ids have a pattern, and only
    # moments are compared.
    "string_pattern_mismatch": "is not of the form {pattern}",
    "less_than_equal": _TOO_LATE,
    "less_than": _TOO_LATE,
}

_Model = TypeVar("_Model", bound=BaseModel)


def read_model(model: type[_Model], record: Record) -> _Model:
    """The message as its topic's model. Raises Invalid, which says why it is none."""
    try:
        return model.model_validate_json(record.value or b"")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise Invalid("not_json", "the message is not JSON") from None
        if first["type"] in {"union_tag_invalid", "union_tag_not_found"}:
            raise Invalid(
                "unknown_kind", "`kind` is none that this version of Weir knows"
            ) from None
        if not first["loc"]:
            raise Invalid("invalid_field", "the message must be a JSON object") from None
        _, detail = explain(first, {**_ADVICE, **advice_of(model, first)})
        raise Invalid("invalid_field", detail) from None
