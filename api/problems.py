"""RFC 9457 problem documents: every error of the edge, the framework's own included."""

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from traceback import format_tb
from typing import Annotated, Final

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.routing import Match

from api.answer_headers import with_guards
from api.answering_route import route_of
from api.server_errors import FIRST_OF_THEM, ServerErrorLog, is_logged
from schemas.explanations import explain, shown
from schemas.tracing import trace_id

log = structlog.get_logger()
_server_errors: Final = ServerErrorLog()

MEDIA_TYPE: Final = "application/problem+json"
MAX_ERRORS: Final = 20
"""So many faults of one request are named."""


class FieldProblem(BaseModel):
    """What is wrong with one field, and what to do."""

    field: str
    detail: str


class ProblemDocument(BaseModel):
    """RFC 9457, with the fields that are at fault."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[str, Field(examples=["about:blank"])] = "about:blank"
    title: Annotated[str, Field(examples=["Unprocessable Content"])]
    status: Annotated[int, Field(examples=[422])]
    detail: Annotated[str, Field(examples=["path is required"])]
    errors: list[FieldProblem] = []


class Problem(Exception):
    """An answer that is an error: status, a sentence, the fields at fault, further members."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        errors: Sequence[FieldProblem] = (),
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(math.ceil(retry_after))
        self.members = members or {}


def field_problem(status: HTTPStatus, field: str, detail: str) -> Problem:
    """A problem with one field; the detail says which and what to do."""
    return Problem(status, detail, errors=[FieldProblem(field=field, detail=detail)])


def unavailable(what: str, *, retry_after: float = 1.0, **members: object) -> Problem:
    """503 with Retry-After (seconds): something behind the edge is away; nothing is lost."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, what, retry_after=retry_after, members=members)


def problem_response(problem: Problem) -> Response:
    document: dict[str, object] = {
        "type": "about:blank",
        "title": problem.status.phrase,
        "status": problem.status.value,
        "detail": problem.detail,
    }
    if problem.errors:
        document["errors"] = [error.model_dump() for error in problem.errors]
    return Response(
        orjson.dumps({**document, **problem.members}),
        problem.status,
        headers=problem.headers,
        media_type=MEDIA_TYPE,
    )


def answered(problem: Problem) -> Response:
    """The answer to who asked; the log tells of one that is not their fault."""
    if problem.status >= FIRST_OF_THEM:
        _server_errors.note(problem.status, problem.detail)
    return problem_response(problem)


def _answer(_: Request, problem: Problem) -> Response:
    return answered(problem)


_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def _http_exception(request: Request, error: HTTPException) -> Response:
    status = HTTPStatus(error.status_code)
    path = shown(request.url.path)
    headers = dict(error.headers or {})
    match status:
        case HTTPStatus.NOT_FOUND:
            detail = f"there is nothing at {path}; /docs lists what there is"
        case HTTPStatus.METHOD_NOT_ALLOWED:
            # The router names only the methods of the first of a path's routes.
            headers["Allow"] = allowed = ", ".join(_allowed(request))
            detail = f"{request.method} is not possible at {path}; use {allowed}"
        case _:
            detail = str(error.detail)
    return problem_response(Problem(status, detail, headers=headers))


def _allowed(request: Request) -> list[str]:
    def routed(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return [method for method in _METHODS if routed("GET" if method == "HEAD" else method)]


_PARAMETER_ADVICE: Final = {
    "extra_forbidden": "is not a parameter here; /docs lists those that are",
    "string_too_short": "must not be empty; leave it out instead",
    "literal_error": "must be {expected}",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number",
    "int_from_float": "must be a whole number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "timezone_aware": "needs a time zone: add `Z` for UTC, or an offset such as `%2B02:00`",
    "value_error": "{error}",
}


def _parameter_problem(error: ErrorDetails) -> FieldProblem:
    # The first part of the location says that it stood in the query: the field is what follows.
    field, detail = explain({**error, "loc": error["loc"][1:]}, _PARAMETER_ADVICE)
    return FieldProblem(field=field, detail=detail)


def _invalid_request(_: Request, error: RequestValidationError) -> Response:
    errors = [_parameter_problem(each) for each in error.errors()[:MAX_ERRORS]]
    return problem_response(
        Problem(HTTPStatus.UNPROCESSABLE_ENTITY, errors[0].detail, errors=errors)
    )


def _unexpected(request: Request, error: Exception) -> Response:
    # Where, not what: the path may name a user, and the error quote what was sent.
    log.error(
        "unexpected error",
        route=route_of(request.scope) or "",
        error=type(error).__name__,
        traceback="".join(format_tb(error.__traceback__)),
    )
    is_logged(request.scope)
    trace = trace_id()
    answer = problem_response(
        Problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "something went wrong here, not with your request; the log has it",
            members={} if trace is None else {"trace_id": trace},
        )
    )
    # Starlette answers this itself, past all that was added to the application.
    answer.raw_headers = with_guards(answer.raw_headers, request.url.scheme)
    return answer


def install_problems(app: FastAPI) -> None:
    """Makes every error of the application a problem document."""
    app.add_exception_handler(Problem, _answer)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _http_exception)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _invalid_request)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, _unexpected)


def documented(*statuses: HTTPStatus) -> dict[int | str, dict[str, object]]:
    """The `responses=` of a route that may answer with these problems."""
    return {
        status.value: {
            "description": status.phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
        }
        for status in statuses
    }
