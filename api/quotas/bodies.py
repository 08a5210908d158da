"""Reads the JSON body of a change, strictly: no unknown member, no text for a number."""

from http import HTTPStatus
from typing import Any, Final, TypeVar

import orjson
from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError

from api.bodies import headers_of, parse_json, read_body, refuse_all_but_json
from api.problems import MAX_ERRORS, FieldProblem, Problem, field_problem
from schemas.explanations import advice_of, explain

_ADVICE: Final = {
    "extra_forbidden": "is not a member here; /docs lists those that are",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "int_type": "must be a whole number",
    "int_parsing_size": "must be a whole number, and far smaller",
    "literal_error": "must be {expected}",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "is not the name of a plan; GET /api/plans lists them",
    "value_error": "{error}",
}

_Document = TypeVar("_Document", bound=BaseModel)


class Body(BaseModel):
    """What such a body is made of."""

    model_config = ConfigDict(extra="forbid", strict=True)


def request_body(model: type[Body], example: dict[str, object]) -> dict[str, Any]:
    """A route's `openapi_extra`; the model is to be among the documented ones."""
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": f"#/components/schemas/{model.__name__}"},
                    "example": example,
                }
            },
        }
    }


async def read_document(request: Request, model: type[_Document]) -> _Document:
    """The body. Raises a Problem: 400, 413, 415 or 422, which names the fields.

    What a field's type says about itself (schemas.explanations.Advice) goes before what is said of
    all bodies here.
    """
    headers = headers_of(request)
    refuse_all_but_json(headers)
    body = await read_body(request, headers)
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        said = f"is not JSON: {error}" if body else "is empty"
        raise field_problem(
            HTTPStatus.BAD_REQUEST, "body", f"the body {said}; send a JSON object"
        ) from None
    try:
        document = model.model_validate_json(body)
    except ValidationError as error:
        raise _invalid(model, error) from None
    parse_json(body)
    return document


def _invalid(model: type[BaseModel], error: ValidationError) -> Problem:
    errors = [
        _fault_of_body() if not each["loc"] else FieldProblem(field=field, detail=detail)
        for each in error.errors(include_url=False, include_input=False)[:MAX_ERRORS]
        for field, detail in [explain(each, {**_ADVICE, **advice_of(model, each)})]
    ]
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, errors[0].detail, errors=errors)


def _fault_of_body() -> FieldProblem:
    return FieldProblem(field="body", detail="the body must be a JSON object")
