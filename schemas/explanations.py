"""Says in words what pydantic found: which field, what is wrong with it, what to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel
from pydantic_core import ErrorDetails

_MAX_SHOWN: Final = 100
_MOMENT: Final = "must be a date and time with a zone, such as 2026-11-24T09:30:00Z (RFC 3339)"
_UUID: Final = "must be a UUID, such as 019ab0c2-7f00-7c3e-8f00-2a1b3c4d5e6f"
_OBJECT: Final = "must be a JSON object"
_EXAMPLE: Final = ', such as {"event_type": "page_view", "path": "/pricing"}'
_ADVICE: Final[Mapping[str, str]] = {
    "missing": "is required",
    "extra_forbidden": "is not a field of an event; put what is your own into `metadata`",
    "string_type": "must be a string",
    "string_too_short": "must not be empty",
    "string_too_long": "is longer than {max_length} characters; shorten it",
    # Only event_type has a pattern.
    "string_pattern_mismatch": (
        "must begin with a letter and hold only the letters A to Z, digits and _ . : / -, "
        "such as page_view"
    ),
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "uuid_type": _UUID,
    "uuid_parsing": _UUID,
    "timezone_aware": "needs a time zone: add `Z` for UTC, or an offset such as `+02:00`",
    "datetime_type": _MOMENT,
    "datetime_parsing": _MOMENT,
    "datetime_from_date_parsing": _MOMENT,
    "datetime_object_invalid": _MOMENT,
    "value_error": _MOMENT,
    "greater_than_equal": "is before 1970; send the time when it happened",
}


@dataclass(frozen=True, eq=False)
class Advice:
    """What a field of its own kind is told: `texts` are as `explain` takes them.

    It stands in the `Annotated` of the field's type, so that all models with such a field say the
    same.
    """

    texts: Mapping[str, str]


def shown(text: str) -> str:
    """What a client sent, cut to a length that a message can carry."""
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def explain(error: ErrorDetails, advice: Mapping[str, str] | None = None) -> tuple[str, str]:
    """The field (dotted, cut; '' for the whole) and a sentence about it, without the input.

    `advice` says by pydantic's name of an error what differs from what an event is told; it may
    name what the error's context holds, such as `{max_length}`.
    """
    field = shown(".".join(str(part) for part in error["loc"]))
    template = {**_ADVICE, **(advice or {})}.get(error["type"])
    if template is None:
        message = error["msg"]
        what = f"is invalid: {message[0].lower()}{message[1:]}"
    else:
        what = template.format_map(error.get("ctx", {}))
    return (field, f"{field} {what}") if field else ("", f"the event {what}{_EXAMPLE}")


def advice_of(model: type[BaseModel], error: ErrorDetails) -> Mapping[str, str]:
    """The texts of the field of this model that the error is about; none of its own: empty."""
    field = model.model_fields.get(str(error["loc"][0])) if error["loc"] else None
    texts: dict[str, str] = {}
    for each in field.metadata if field else ():
        if isinstance(each, Advice):
            texts.update(each.texts)
    return texts
