"""What `POST /social/post` says about a body that is no post."""

import json
from http import HTTPStatus

import pytest
from fastapi import Request
from starlette.types import Message

from api.problems import Problem
from api.quotas.accounts import NewPlan
from api.quotas.bodies import Body, read_document
from api.social.new_post import NewPost
from tests.schemas.bad_posts import BAD_POSTS

POST = {"prompt": "Our new espresso blend is here"}


async def why(model: type[Body], document: object) -> list[tuple[str, str]]:
    """The fields that are named, each with what is said about it."""

    async def receive() -> Message:
        return {"type": "http.request", "body": json.dumps(document).encode()}

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    with pytest.raises(Problem) as problem:
        await read_document(request, model)
    assert problem.value.status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert problem.value.errors
    assert problem.value.detail == problem.value.errors[0].detail
    return [(each.field, each.detail) for each in problem.value.errors]


@pytest.mark.parametrize(("wrong", "detail"), BAD_POSTS)
async def test_it_says_what_a_post_takes(wrong: dict[str, object], detail: str) -> None:
    field = next(iter(wrong))
    assert await why(NewPost, {**POST, **wrong}) == [(field, detail)]


async def test_every_field_that_is_wrong_is_told_its_own() -> None:
    said = await why(NewPost, {"language": "e", "variants": 0, "size": 3})
    assert said == [
        ("prompt", "prompt is required: it must say what the post is about"),
        ("language", "language must be a BCP 47 tag of a language, such as en, de or pt-BR"),
        ("variants", "variants must be a whole number from 1 to 4"),
        ("size", "size is not a member here; /docs lists those that are"),
    ]


async def test_what_is_no_object_is_said_to_be_none() -> None:
    assert await why(NewPost, []) == [("body", "the body must be a JSON object")]


async def test_another_body_is_told_what_it_was_before() -> None:
    detail = "plan is not the name of a plan; GET /api/plans lists them"
    assert ("plan", detail) in await why(NewPlan, {"plan": "Not A Name"})
