"""Documents that seldom change: their ETag, and 304 to who has them already."""

import hashlib
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final, Self

from fastapi import Header, Response

ETAG_DOCUMENTED: Final[dict[str, object]] = {
    "ETag": {"description": "Changes with the document.", "schema": {"type": "string"}}
}
NOT_MODIFIED_DOCUMENTED: Final[dict[str, object]] = {
    "description": "It is still the one with this ETag.",
    "headers": ETAG_DOCUMENTED,
}

IfNoneMatch = Annotated[str | None, Header(description="The ETag of an earlier answer.")]
"""A parameter of a route; its name must be `if_none_match`."""


@dataclass(frozen=True, slots=True)
class TaggedDocument:
    """A document's bytes and its ETag."""

    body: bytes
    etag: str

    @classmethod
    def of(cls, body: bytes) -> Self:
        return cls(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')

    def answer(self, if_none_match: str | None, *, media_type: str, cache_control: str) -> Response:
        """The document, or 304 when the client has it."""
        headers = {"ETag": self.etag, "Cache-Control": cache_control}
        if if_none_match is not None and self._is_among(if_none_match):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(self.body, headers=headers, media_type=media_type)

    def _is_among(self, etags: str) -> bool:
        given = [each.strip().removeprefix("W/") for each in etags.split(",")]
        return self.etag in given or given == ["*"]
