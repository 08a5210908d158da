"""`POST /social/post`: a prompt becomes a caption and a picture, within the quota."""

from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from uuid_utils.compat import uuid7

from api.identity.access import Access, declared, principal_of
from api.identity.principal import Role
from api.problems import Problem, documented, unavailable
from api.quotas.bodies import Body, read_document, request_body
from api.quotas.documents import refused
from api.quotas.idempotency import NAME, documented_key, given_key
from api.social.board import PostState
from api.social.desk import RETRY_AFTER, NotAsked
from api.social.documents import PostDocument, base_url_of, failed, post_document, post_response
from api.social.preferences import documented_preference, preference_of
from api.state import now, posts, social, social_waits
from schemas.generation import GenerationRequest, post_id_for
from schemas.posts import Language, Platform, PostOptions, Prompt, Tone, Variants

ACCESS: Final = Access([Role.USER])
POSTS: Final = "/social/posts"

router = APIRouter(tags=["social"], dependencies=[declared(ACCESS)])


class NewPost(Body):
    """What a post is to be; all but the prompt may be left out."""

    prompt: Prompt
    platform: Platform = "instagram"
    tone: Tone = "friendly"
    language: Language = "en"
    variants: Variants = 1


DOCUMENTED_MODELS: Final[tuple[type[BaseModel], ...]] = (NewPost,)


@router.post(
    "/social/post",
    summary="Generate a social post",
    response_model=PostDocument,
    responses={
        HTTPStatus.ACCEPTED.value: {
            "model": PostDocument,
            "description": "It is being made; `Location` is where to look.",
            "headers": {"Location": {"schema": {"type": "string"}}},
        },
        **documented(
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.FORBIDDEN,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.BAD_GATEWAY,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    },
    dependencies=[Depends(documented_key), Depends(documented_preference)],
    openapi_extra=request_body(NewPost, {"prompt": "Our new espresso blend is here"}),
)
async def create_post(request: Request) -> Response:
    """Charges a credit for each variant, generates captions and pictures, and answers with them.

    202 with a `Location` when that takes longer than one wants to wait. 403 with the code
    `quota_exceeded` when the credits are used up, and then nothing is charged. A post that cannot
    be made is refunded: 422 with the code `content_refused`, else 502. Send it again with the same
    `Idempotency-Key` and it is charged and made once.
    """
    principal = await principal_of(request)
    key = given_key(request)
    asked = await read_document(request, NewPost)
    waits = social_waits(request)
    preference = preference_of(request, waits.result)
    user_id = principal.subject
    post = GenerationRequest(
        **PostOptions(**asked.model_dump()).model_dump(),
        post_id=uuid7() if key is None else post_id_for(user_id, key),
        user_id=user_id,
        issued_at=now(request),
    )
    try:
        heard = await social(request).ask(
            post,
            decision_within=waits.decision,
            result_within=preference.wait,
        )
    except NotAsked as error:
        raise _not_asked(error, repeatable=key is not None) from None
    if heard.decision is not None and heard.decision.problem is not None:
        raise refused(heard.decision, heard.decision.problem)
    result = heard.result
    if result is not None and result.reason == "quota_exceeded" and heard.decision is not None:
        raise refused(heard.decision, "quota_exceeded")
    if result is not None and result.state == "failed":
        raise failed(result)
    state = PostState(
        post.post_id,
        user_id,
        state=result.state if result else "queued",
        options=post.options(),
        requested_at=post.issued_at,
        captions={each.number: each.caption for each in result.variants} if result else {},
        pictures={each.number: each.picture for each in result.variants} if result else {},
        result=result,
    )
    base_url = base_url_of(request, waits.public_url)
    headers = {"Preference-Applied": preference.applied} if preference.applied else {}
    if result is None:
        headers["Location"] = f"{POSTS}/{post.post_id}"
        known = posts(request).state_of(user_id, post.post_id) or state
        return post_response(post_document(known, base_url), HTTPStatus.ACCEPTED, headers)
    return post_response(post_document(state, base_url), headers=headers)


def _not_asked(error: NotAsked, *, repeatable: bool) -> Problem:
    if not error.sent:
        said = "nothing was charged; send it again"
    elif repeatable:
        said = (
            f"whether it was asked for is not known. Send it again with the same {NAME}: it is "
            "charged and made once"
        )
    else:
        said = (
            "whether it was asked for is not known: look at GET /social/posts first, and give "
            f"each post an {NAME} of its own, with which it can be sent again"
        )
    return unavailable(f"{error.reason}; {said}", retry_after=RETRY_AFTER)
