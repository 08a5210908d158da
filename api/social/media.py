"""`GET /media/{key}`: pictures, named by their content."""

import re
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Path, Response
from obstore.exceptions import BaseError

from api.etags import ETAG_DOCUMENTED, NOT_MODIFIED_DOCUMENTED, IfNoneMatch, TaggedDocument
from api.identity.access import PUBLIC
from api.problems import Problem, documented, unavailable
from api.state import FromMedia
from schemas.media import picture_path

# Browsers send no token for a picture: who knows the hash of its content may have it.
router = APIRouter(tags=["social"], dependencies=[PUBLIC])

_KEY: Final = re.compile(r"[0-9a-f]{64}\.(png|webp|jpg)")
_MEDIA_TYPES: Final = {"png": "image/png", "webp": "image/webp", "jpg": "image/jpeg"}


@router.get(
    "/media/{key:path}",
    summary="A picture of a post",
    response_class=Response,
    responses={
        HTTPStatus.OK.value: {
            "content": {
                each: {"schema": {"type": "string", "format": "binary"}}
                for each in _MEDIA_TYPES.values()
            },
            "headers": ETAG_DOCUMENTED,
        },
        HTTPStatus.NOT_MODIFIED.value: NOT_MODIFIED_DOCUMENTED,
        **documented(
            HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE
        ),
    },
)
async def picture(
    key: Annotated[str, Path(description="As `image_url` names it.")],
    media: FromMedia,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Never changes: what is named by its content is that content."""
    match = _KEY.fullmatch(key)
    if match is None:
        raise _no_such_picture()
    try:
        found = await media.get_async(picture_path(key))
        body = bytes(await found.bytes_async())
    except FileNotFoundError:
        raise _no_such_picture() from None
    except BaseError as error:
        raise unavailable(
            f"the media store does not answer ({type(error).__name__}); ask again"
        ) from None
    answer = TaggedDocument(body, f'"{key[:64]}"').answer(
        if_none_match,
        media_type=_MEDIA_TYPES[match[1]],
        cache_control="public, max-age=31536000, immutable",
    )
    # Whoever may name it may show it, on pages of any origin.
    answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return answer


def _no_such_picture() -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, "there is no such picture")
