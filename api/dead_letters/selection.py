"""The body of an action on several letters: their ids, or filters and how far to go."""

from http import HTTPStatus
from typing import Annotated, Final, Self
from uuid import UUID

import orjson
from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from api.bodies import headers_of, parse_json, read_body, refuse_all_but_json
from api.dead_letters.filters import Filters
from api.problems import FieldProblem, Problem, field_problem
from schemas.explanations import explain

MAX_AT_ONCE: Final = 1_000

_WHAT_TO_SEND: Final = 'send {"ids": […]}, or {"filters": {…}} ({} is every open one)'
_ADVICE: Final = {
    "missing": "is required",
    "extra_forbidden": "is not a member here; /docs lists those that are",
    "list_type": "must be an array of ids",
    "too_long": "holds more than {max_length} ids; send them in several requests",
    "too_short": "is empty; name at least one",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "string_too_short": "must not be empty; leave it out instead",
    "string_pattern_mismatch": "is not a topic's name",
    "value_error": "{error}",
}


class Selection(BaseModel):
    """Which dead letters: either `ids` or `filters`, of which open ones are taken, newest first."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[
        list[UUID] | None,
        Field(min_length=1, max_length=MAX_AT_ONCE, description="These, in this order."),
    ] = None
    filters: Annotated[
        Filters | None, Field(description="Those that match; {} is every open one.")
    ] = None
    limit: Annotated[
        int, Field(ge=1, le=MAX_AT_ONCE, description="How many of those that match, at most.")
    ] = MAX_AT_ONCE
    cursor: Annotated[
        str | None, Field(description="`next_cursor` of the answer before, to go on behind it.")
    ] = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.ids is None) == (self.filters is None):
            raise ValueError(_WHAT_TO_SEND)
        if self.ids is not None and self.cursor is not None:
            raise ValueError("a cursor goes with filters, not with ids; leave it out")
        return self


REQUEST_BODY: Final = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/Selection"},
            "examples": {
                "by id": {"value": {"ids": ["019ab0c2-7f00-7c3e-8f00-2a1b3c4d5e6f"]}},
                "by filters": {"value": {"filters": {"reason": "wrong_key"}, "limit": 100}},
            },
        }
    },
}


async def read_selection(request: Request) -> Selection:
    """The body. Raises a Problem: 400, 413, 415 or 422, which names the field."""
    headers = headers_of(request)
    refuse_all_but_json(headers)
    body = await read_body(request, headers)
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise field_problem(
            HTTPStatus.BAD_REQUEST, "body", f"the body is not JSON: {error}; {_WHAT_TO_SEND}"
        ) from None
    try:
        selection = Selection.model_validate_json(body)
    except ValidationError as error:
        raise _invalid(error) from None
    parse_json(body)
    return selection


def _invalid(error: ValidationError) -> Problem:
    first = error.errors(include_url=False, include_input=False)[0]
    if not first["loc"]:
        said = first["ctx"]["error"] if first["type"] == "value_error" else "must be a JSON object"
        detail = f"the body: {said}" if first["type"] == "value_error" else f"the body {said}"
        return field_problem(HTTPStatus.UNPROCESSABLE_ENTITY, "body", detail)
    field, detail = explain(first, _ADVICE)
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=[FieldProblem(field=field, detail=detail)]
    )
