"""What the OpenAPI document says of every operation that needs credentials."""

from http import HTTPStatus
from typing import Any, Final

from api.problems import documented

_REFUSALS: Final = {
    HTTPStatus.BAD_REQUEST: "Bad Request",
    HTTPStatus.UNAUTHORIZED: "No credentials, or invalid ones; `WWW-Authenticate` says which.",
    HTTPStatus.FORBIDDEN: "The credentials lack the role.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests of this user or key; see `Retry-After`.",
}


def document_identity(document: dict[str, Any]) -> None:
    """Adds to an OpenAPI document the answers of those operations that declare security."""
    for operations in document["paths"].values():
        for operation in operations.values():
            if "security" not in operation:
                continue
            responses = operation["responses"]
            for status, description in _REFUSALS.items():
                [(code, response)] = documented(status).items()
                responses.setdefault(str(code), {**response, "description": description})
