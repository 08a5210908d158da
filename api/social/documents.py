"""A post as the API shows it."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

import orjson
from fastapi import Request, Response
from pydantic import BaseModel, Field

from api.problems import Problem
from api.social.board import PostStage, PostState
from schemas.decoding import canonical_time
from schemas.generation import FailureReason, GenerationResult
from schemas.posts import Platform, PostOptions, Tone

PRIVATE: Final = {"Cache-Control": "private, no-store"}


class VariantDocument(BaseModel):
    """One caption with its picture; what is not there yet is null. Sizes in pixels."""

    number: int
    caption: str | None
    image_url: str | None
    width: int | None
    height: int | None


class PostDocument(BaseModel):
    """A post. `caption` and `image_url` are those of the first variant that was made."""

    id: UUID
    state: PostStage
    caption: str | None
    image_url: str | None
    variants: list[VariantDocument]
    prompt: str | None
    platform: Platform | None
    tone: Tone | None
    language: str | None
    stub: Annotated[bool, Field(description="Made without OpenAI, for trying out.")]
    reason: Annotated[FailureReason | None, Field(description="Why it, or a variant, failed.")]
    detail: Annotated[str | None, Field(description="The same as a sentence.")]
    credits_charged: Annotated[
        int | None, Field(description="Null until it is known; one for each variant.")
    ]
    credits_refunded: int | None
    requested_at: datetime | None
    finished_at: datetime | None


def post_document(state: PostState, base_url: str) -> dict[str, object]:
    """The document of a post; `base_url`: in front of paths, without a slash at its end."""
    variants = []
    for number in sorted({*state.captions, *state.pictures}):
        picture = state.pictures.get(number)
        variants.append(
            {
                "number": number,
                "caption": state.captions.get(number),
                "image_url": picture and image_url(picture.key, base_url),
                "width": picture and picture.width,
                "height": picture and picture.height,
            }
        )
    first = variants[0] if variants else {}
    options, result = state.options, state.result
    return {
        "id": str(state.post_id),
        "state": state.state,
        "caption": first.get("caption"),
        "image_url": first.get("image_url"),
        "variants": variants,
        **_options(options),
        "stub": result is not None and result.stub,
        "reason": result and result.reason,
        "detail": (result and result.detail) or None,
        "credits_charged": result and result.credits_charged,
        "credits_refunded": result and result.credits_refunded,
        "requested_at": _time(state.requested_at or (result.requested_at if result else None)),
        "finished_at": _time(result.finished_at if result else None),
    }


def image_url(key: str, base_url: str) -> str:
    """Where a picture is served."""
    return f"{base_url}/media/{key}"


def base_url_of(request: Request, public_url: str) -> str:
    """What is in front of paths: the setting, else as this request came."""
    return public_url or str(request.base_url).rstrip("/")


def post_response(
    document: dict[str, object],
    status: HTTPStatus = HTTPStatus.OK,
    headers: dict[str, str] | None = None,
) -> Response:
    """The document as an answer."""
    return Response(
        orjson.dumps(document),
        status,
        media_type="application/json",
        headers={**PRIVATE, **(headers or {})},
    )


def failed(result: GenerationResult) -> Problem:
    """The problem document of a post that could not be made."""
    refused = result.reason == "content_refused"
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY if refused else HTTPStatus.BAD_GATEWAY,
        result.detail or "the post could not be generated",
        members={
            "code": "content_refused" if refused else "generation_failed",
            "reason": result.reason,
            "id": str(result.post_id),
            "credits_refunded": result.credits_refunded,
        },
    )


def _options(options: PostOptions | None) -> dict[str, object]:
    names = ("prompt", "platform", "tone", "language")
    return {name: None if options is None else getattr(options, name) for name in names}


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else canonical_time(moment)
