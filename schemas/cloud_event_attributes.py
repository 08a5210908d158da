"""CloudEvents 1.0: what may stand in one, and what is wrong with its attributes."""

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeGuard

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from schemas.decoding import InvalidEvent, invalid_event
from schemas.events import EventType, Metadata, Moment, Name, Path, UserId, VisitorId
from schemas.explanations import shown

# How the message was traced and spread, and what its data looks like: nothing to count by.
_LEFT_OUT: Final = frozenset({"traceparent", "tracestate", "partitionkey", "dataschema"})
_INTEGERS: Final = range(-(2**31), 2**31)
_NAME: Final = re.compile(r"[a-z0-9]+")
_CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_JSON_TYPE: Final = re.compile(r"(?:application|text)/(?:[\w.+-]+\+)?json", re.ASCII)
NO_NAME: Final = (
    "cannot be an attribute's name: CloudEvents has them of the letters a to z in lower case and "
    "digits alone, and not `data`; what is your own goes into `data.metadata`"
)
_NOT_JSON_TYPE: Final = "must be application/json, or a type that ends in +json"


def is_json_type(content_type: str) -> bool:
    """Whether a content type, with or without parameters, says JSON."""
    return _JSON_TYPE.fullmatch(content_type.partition(";")[0].strip().lower()) is not None


def _says_json(content_type: str) -> str:
    if not is_json_type(content_type):
        raise ValueError(_NOT_JSON_TYPE)
    return content_type


class CloudEventData(BaseModel):
    """What a CloudEvent's attributes have no place for."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    path: Annotated[Path | None, Field(description="As an event's; absent: the `subject`.")] = None
    user_id: UserId = None
    visitor_id: VisitorId = None
    metadata: Metadata = {}


class CloudEventAttributes(BaseModel):
    """A CloudEvent's context attributes; extension attributes are its extra fields."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    specversion: Annotated[Literal["1.0"], Field(description="The version of CloudEvents.")]
    id: Annotated[
        Name,
        Field(
            description="With `source` it names the event: both again count once.",
            examples=["A234-1234"],
        ),
    ]
    source: Annotated[
        Name, Field(description="What sent it; the event's `source`.", examples=["/shop"])
    ]
    type: EventType
    time: Annotated[
        Moment | None,
        Field(
            description=(
                "When it happened (RFC 3339 with a zone, kept to the millisecond); "
                "absent: when it arrives. At most a day in the future."
            ),
            examples=["2026-11-24T09:30:00Z"],
        ),
    ] = None
    subject: Annotated[
        Path | None,
        Field(description="The event's `path`, unless `data.path` is given.", examples=["/cart"]),
    ] = None
    datacontenttype: Annotated[
        str | None,
        AfterValidator(lambda text: text if text is None else _says_json(text)),
        Field(description="`application/json`, or a type that ends in `+json`."),
    ] = None
    dataschema: Annotated[str | None, Field(min_length=1, description="Not looked at.")] = None


_ATTRIBUTE_ADVICE: Final = {
    "literal_error": 'must be "1.0", the version of CloudEvents that is taken here',
}


def checked_attributes(
    given: Mapping[str, object],
) -> tuple[CloudEventAttributes, dict[str, object]]:
    """The attributes, and the extension attributes among them that are kept.

    Raises InvalidEvent, which names the attribute.
    """
    try:
        context = CloudEventAttributes.model_validate(given)
    except ValidationError as error:
        raise invalid_event(error, advice=_advice(error)) from None
    extensions = _extensions(context.model_extra or {})
    for name, value in given.items():
        if isinstance(value, str) and _CONTROL_CHARACTERS.search(value):
            raise invalid_member(name, "holds a control character, which no attribute may")
    return context, extensions


def is_attribute_name(name: str) -> bool:
    """Whether CloudEvents lets an attribute have this name."""
    return _NAME.fullmatch(name) is not None


def invalid_member(field: str, what: str) -> InvalidEvent:
    """The error that this field of a CloudEvent is wrong, and what is."""
    name = shown(field)
    return InvalidEvent("invalid_field", name, f"{name} {what}")


def _advice(error: ValidationError) -> Mapping[str, str]:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["loc"] == ("datacontenttype",) and first["type"] == "value_error":
        return {**_ATTRIBUTE_ADVICE, "value_error": _NOT_JSON_TYPE}
    return _ATTRIBUTE_ADVICE


def _extensions(given: Mapping[str, object]) -> dict[str, object]:
    """The extension attributes that are kept."""
    for name, value in given.items():
        if not is_attribute_name(name):
            raise invalid_member(name, NO_NAME)
        if not _is_extension(value):
            raise invalid_member(name, "must be a string, a boolean or a whole number of 32 bits")
    return {name: value for name, value in given.items() if name not in _LEFT_OUT}


def _is_extension(value: object) -> TypeGuard[str | bool | int]:
    return isinstance(value, str | bool) or (isinstance(value, int) and value in _INTEGERS)
