"""Social posts over HTTP, through the real stream, with the stub."""

import asyncio
from collections.abc import Mapping
from typing import Final
from uuid import uuid4

import orjson
import pytest

from tests.api.identity.credentials import bearer, signed
from tests.api.requests import Answer, ask, get
from tests.weir import Json, Weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]

POST: Final = "/social/post"
POSTS: Final = "/social/posts"
PROMPT: Final = {"prompt": "Our new espresso blend is here"}


def someone(weir: Weir) -> Mapping[str, str]:
    """Credentials of a user who has all credits."""
    return bearer(signed(weir, sub=f"user-{uuid4()}", roles=["user"]))


async def post(weir: Weir, who: Mapping[str, str], document: Json, **headers: str) -> Answer:
    return await ask(
        weir,
        "POST",
        POST,
        orjson.dumps(document),
        {
            "Content-Type": "application/json",
            **who,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
    )


async def seen(weir: Weir, who: Mapping[str, str], path: str) -> Answer:
    return await ask(weir, "GET", path, headers=who)


async def used(weir: Weir, who: Mapping[str, str]) -> int:
    return int((await seen(weir, who, "/api/user/plan")).json["quota_used"])


async def test_a_prompt_becomes_a_caption_and_a_picture_for_a_credit(guarded: Weir) -> None:
    who = someone(guarded)
    answer = await post(guarded, who, {**PROMPT, "platform": "x", "variants": 2})
    assert answer.status == 200, answer.body
    document = answer.json
    assert document["state"] == "done"
    assert document["stub"] is True
    assert 0 < len(document["caption"]) <= 280
    assert [each["number"] for each in document["variants"]] == [1, 2]
    assert (document["credits_charged"], document["credits_refunded"]) == (2, 0)
    assert document["image_url"].startswith(f"{guarded.url}/media/")
    # A browser's <img> sends no token.
    picture = await ask(guarded, "GET", document["image_url"].removeprefix(guarded.url))
    assert picture.status == 200
    assert picture.headers["Content-Type"] == "image/png"
    assert picture.body.startswith(b"\x89PNG")
    assert "immutable" in picture.headers["Cache-Control"]
    again = await ask(
        guarded,
        "GET",
        document["image_url"].removeprefix(guarded.url),
        headers={"If-None-Match": picture.headers["ETag"]},
    )
    assert again.status == 304
    assert await used(guarded, who) == 2
    shown = await seen(guarded, who, f"{POSTS}/{document['id']}")
    assert shown.json == document


async def test_who_does_not_wait_finds_the_post_where_location_says(guarded: Weir) -> None:
    who = someone(guarded)
    answer = await post(guarded, who, PROMPT, Prefer="respond-async")
    assert answer.status == 202
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert answer.json["state"] == "queued"
    where = answer.headers["Location"]
    assert (await seen(guarded, who, where)).status == 200

    async def done() -> bool:
        return bool((await seen(guarded, who, where)).json["state"] == "done")

    await guarded.eventually(done, within=20)
    other = await seen(guarded, someone(guarded), where)
    assert other.problem(404)
    assert (await seen(guarded, someone(guarded), f"{where}/events")).problem(404)


async def test_the_same_key_again_is_charged_and_made_once(guarded: Weir) -> None:
    who = someone(guarded)
    first = await post(guarded, who, PROMPT, Idempotency_Key="one")
    again = await asyncio.gather(
        *(post(guarded, who, PROMPT, Idempotency_Key="one") for _ in range(5))
    )
    assert {each.status for each in [first, *again]} == {200}
    same = {(each.json["id"], each.json["image_url"]) for each in [first, *again]}
    assert len(same) == 1
    assert await used(guarded, who) == 1
    # Who does not wait is told what is known.
    early = await post(guarded, who, PROMPT, Idempotency_Key="one", Prefer="respond-async")
    assert (early.status, early.json["state"]) == (202, "done")
    other = await post(guarded, who, {"prompt": "Another"}, Idempotency_Key="one")
    assert other.problem(422)["code"] == "conflict"


async def test_beyond_the_quota_nothing_is_made(guarded: Weir) -> None:
    who = someone(guarded)
    limit = (await seen(guarded, who, "/api/user/plan")).json["limit"]
    spend = await ask(
        guarded,
        "POST",
        "/api/user/plan",
        orjson.dumps({"count": limit - 1}),
        {"Content-Type": "application/json", **who},
    )
    assert spend.status == 200
    refused = await post(guarded, who, {**PROMPT, "variants": 2})
    problem = refused.problem(403)
    assert problem["code"] == "quota_exceeded"
    assert (problem["remaining"], problem["requested"]) == (1, 2)
    assert (await post(guarded, who, PROMPT)).status == 200
    assert (await post(guarded, who, PROMPT, Prefer="respond-async")).status == 403


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": " \n\t"}, "prompt"),
        ({"prompt": "x" * 10_001}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": "bell \x07"}, "prompt"),
        ({**PROMPT, "platform": "myspace"}, "platform"),
        ({**PROMPT, "tone": "angry"}, "tone"),
        ({**PROMPT, "language": "English!"}, "language"),
        ({**PROMPT, "variants": 0}, "variants"),
        ({**PROMPT, "variants": 5}, "variants"),
        ({**PROMPT, "variants": "2"}, "variants"),
        ({**PROMPT, "size": 3}, "size"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
async def test_bad_input_is_named_and_costs_nothing(
    guarded: Weir, document: Json, field: str
) -> None:
    who = someone(guarded)
    answer = await post(guarded, who, document)
    errors = answer.problem(422)["errors"]
    assert field in errors[0]["field"]
    assert await used(guarded, who) == 0


@pytest.mark.parametrize(
    "key",
    [
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/etc/passwd",
        "x.png",
        f"{64 * 'a'}.png",
        f"{64 * 'A'}.png",
        f"{64 * 'a'}.png%00",
    ],
)
async def test_no_other_file_is_served(guarded: Weir, key: str) -> None:
    assert (await ask(guarded, "GET", f"/media/{key}")).status == 404


async def test_ones_history_is_listed_page_by_page(guarded: Weir) -> None:
    who = someone(guarded)
    made = [
        (await post(guarded, who, {"prompt": f"post {number}"})).json["id"] for number in range(5)
    ]

    async def all_done() -> bool:
        items = (await seen(guarded, who, POSTS)).json["items"]
        return [each["state"] for each in items] == ["done"] * 5

    await guarded.eventually(all_done, within=20)
    found: list[str] = []
    path = f"{POSTS}?limit=2"
    pages = 0
    while path:
        answer = await seen(guarded, who, path)
        found += [each["id"] for each in answer.json["items"]]
        pages += 1
        cursor = answer.json["next_cursor"]
        path = f"{POSTS}?limit=2&cursor={cursor}" if cursor else ""
    assert found == made[::-1]
    assert pages == 3
    [first] = (await seen(guarded, who, f"{POSTS}?limit=1")).json["items"]
    assert first["prompt"] == "post 4"
    assert (await seen(guarded, someone(guarded), POSTS)).json["items"] == []
    csv = await ask(guarded, "GET", POSTS, headers={**who, "Accept": "text/csv"})
    assert csv.body.decode().splitlines()[0].startswith("id,state,caption")


async def test_a_post_is_followed_until_it_is_done(guarded: Weir) -> None:
    who = someone(guarded)
    answer = await post(guarded, who, {**PROMPT, "variants": 2}, Prefer="respond-async")
    followed = await seen(guarded, who, f"{answer.headers['Location']}/events")
    assert followed.headers["Content-Type"].startswith("text/event-stream")
    text = followed.body.decode()
    names = [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event")]
    assert names[0] == "state" or names[0] == "caption"
    assert names[-1] == "done"
    assert names.count("caption") == 2
    assert names.count("picture") == 2
    events = f"{answer.headers['Location']}/events"
    assert b"event: done" in (await seen(guarded, who, events)).body
    # An EventSource connects again after every end, and says what it saw last.
    assert "id: end" in text.splitlines()
    told = await ask(guarded, "GET", events, headers={**who, "Last-Event-ID": "end"})
    assert (told.status, told.body) == (204, b"")


async def test_the_demo_user_gets_a_post(edge: Weir) -> None:
    answer = await ask(
        edge, "POST", POST, orjson.dumps(PROMPT), {"Content-Type": "application/json"}
    )
    assert answer.status in {200, 403}
    assert (await get(edge, POSTS)).status == 200
