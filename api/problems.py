"""RFC 9457 problem documents: every error of the edge, the framework's own included."""

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Final

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException

log = structlog.get_logger()

MEDIA_TYPE: Final = "application/problem+json"


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


def _answer(_: Request, problem: Problem) -> Response:
    return problem_response(problem)


_ADVICE: Final = {
    HTTPStatus.NOT_FOUND: "there is nothing at {path}; /docs lists what there is",
    HTTPStatus.METHOD_NOT_ALLOWED: (
        "{method} is not possible at {path}; the Allow header says what is"
    ),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the request body is too large; send less at a time",
}


def _http_exception(request: Request, error: HTTPException) -> Response:
    status = HTTPStatus(error.status_code)
    advice = _ADVICE.get(status, str(error.detail))
    return problem_response(
        Problem(
            status,
            advice.format(method=request.method, path=request.url.path),
            headers=error.headers,
        )
    )


def _sentence(error: ErrorDetails) -> FieldProblem:
    # The first part says where it stood (query, body): the field is what follows.
    field = ".".join(str(part) for part in error["loc"][1:])
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "is not a parameter of this question; /docs lists them"
    else:
        message = f"is invalid: {message[0].lower()}{message[1:]}"
    return FieldProblem(field=field, detail=f"{field} {message}")


def _invalid_request(_: Request, error: RequestValidationError) -> Response:
    errors = [_sentence(each) for each in error.errors()]
    return problem_response(
        Problem(HTTPStatus.UNPROCESSABLE_ENTITY, errors[0].detail, errors=errors)
    )


def _unexpected(request: Request, error: Exception) -> Response:
    log.error("unexpected error", path=request.url.path, exc_info=error)
    return problem_response(
        Problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "something went wrong here, not with your request; the log has it",
        )
    )


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
            "model": ProblemDocument,
            "description": status.phrase,
            "content": {MEDIA_TYPE: {}},
        }
        for status in statuses
    }
