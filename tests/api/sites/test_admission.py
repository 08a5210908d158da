"""Which pages may send events: known sites, their origins, CORS, and how often."""

from collections.abc import AsyncIterator
from copy import copy
from datetime import UTC, datetime

import orjson
import pytest
import pytest_asyncio

from deploy.api_keys import read_keys, write_key
from schemas.api_keys import create_key
from schemas.sites import Site
from tests.api.identity.credentials import bearer, signed
from tests.api.log_of_topics import LogOfTopics
from tests.api.requests import EVENTS, JSON, Answer, ask
from tests.api.sites.pages import BEACON, NO_SITE, SHOP, created, send, target, view
from tests.weir import Weir

pytestmark = pytest.mark.services

ALLOW = "Access-Control-Allow-Origin"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(guarded: Weir) -> Site:
    return await created(guarded, SHOP, "http://shop.example:8080")


@pytest.mark.parametrize("origin", [SHOP, "http://shop.example:8080"])
async def test_a_page_of_the_site_may_send_and_read_the_answer(
    guarded: Weir, shop: Site, origin: str
) -> None:
    answer = await send(guarded, shop, [view("/cors")], {"Origin": origin})
    assert answer.status == 202
    assert answer.headers.getall(ALLOW) == [origin]
    assert answer.headers.getall("Vary") == ["Origin"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://shop.example",
        "https://shop.example:8443",
        "https://shop.example.evil.example",
        "https://evil-shop.example",
        "https://www.shop.example",
        "https://shop.example/",
        "https://SHOP.example",
        "null",
        "",
        "*",
        "http://localhost:3000",
        None,
    ],
)
async def test_other_pages_may_not(
    guarded: Weir, topics: LogOfTopics, shop: Site, origin: str | None
) -> None:
    before = await topics.ends()
    answer = await send(guarded, shop, [view("/other")], {"Origin": origin})
    answer.problem(403, "Origin")
    readable_by_all(answer)
    asked = await ask(
        guarded,
        "OPTIONS",
        target(shop.site_id),
        headers={} if origin is None else {"Origin": origin},
    )
    asked.problem(403, "Origin")
    readable_by_all(asked)
    assert await topics.ends() == before


def readable_by_all(answer: Answer) -> None:
    """What a page cannot read looks to the tracker like a network that failed: it tries again."""
    assert answer.headers.getall(ALLOW) == ["*"]
    assert answer.headers.getall("Vary") == ["Origin"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        "http://[1:2:3]",
        "http://[::1",
        "http://]",
        "http://[::1]extra",
        "https://shop.example:99999",
        "https://s\u00e9ance.example",
        "https://shop.example, https://shop.example",
        "://",
        "%",
        "x" * 4_000,
    ],
)
@pytest.mark.parametrize("local", [True, False])
async def test_no_origin_is_more_than_the_api_can_bear(
    edge: Weir, guarded: Weir, shop: Site, origin: str, *, local: bool
) -> None:
    weir = edge if local else guarded
    for site_id in (shop.site_id, NO_SITE, "demo"):
        for method in ("POST", "OPTIONS"):
            answer = await ask(weir, method, target(site_id), b"[]", {**BEACON, "Origin": origin})
            unknown = site_id == NO_SITE or (site_id == "demo" and not local)
            answer.problem(404 if unknown else 403)


async def test_an_origin_with_an_address_in_brackets_is_the_host(
    guarded: Weir, topics: LogOfTopics
) -> None:
    site = await created(guarded, "http://[2001:db8::1]:8080")
    before = await topics.ends()
    answer = await send(guarded, site, view("/v6"), {"Origin": "http://[2001:db8::1]:8080"})
    assert answer.status == 202
    [(_, record)] = await topics.since(before)
    assert orjson.loads(record.value)["metadata"]["host"] == "[2001:db8::1]:8080"


async def test_the_document_says_that_origin_is_required(guarded: Weir) -> None:
    document = (await ask(guarded, "GET", "/openapi.json")).json
    parameters = document["paths"]["/sites/{site}/events"]["post"]["parameters"]
    required = {(each["in"], each["name"]): each["required"] for each in parameters}
    assert required == {
        ("path", "site"): True,
        ("header", "Origin"): True,
        ("header", "Sec-GPC"): False,
    }


async def test_who_hides_their_origin_is_told_what_to_do(guarded: Weir, shop: Site) -> None:
    hidden = await send(guarded, shop, [view("/")], {"Origin": "null"})
    assert "data-fetch" in hidden.problem(403)["detail"]
    none = await send(guarded, shop, [view("/")], {"Origin": None})
    assert "write key" in none.problem(403)["detail"]


async def test_a_browser_that_asks_first_is_answered(guarded: Weir, shop: Site) -> None:
    answer = await ask(
        guarded,
        "OPTIONS",
        target(shop.site_id),
        headers={
            "Origin": SHOP,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        },
    )
    assert answer.status == 204
    assert answer.body == b""
    found = {
        name: value
        for name, value in answer.headers.items()
        if name.lower().startswith("access-control") or name.lower() == "vary"
    }
    assert {name.lower(): value for name, value in found.items()} == {
        "access-control-allow-origin": SHOP,
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": "content-type",
        "access-control-max-age": "86400",
        "vary": "Origin",
    }


@pytest.mark.parametrize("site_id", [NO_SITE, "demo", "site_", "key_aaaaaaaaaaaaaaaa", "%2e%2e"])
async def test_an_unknown_site(guarded: Weir, topics: LogOfTopics, site_id: str) -> None:
    before = await topics.ends()
    for method in ("POST", "OPTIONS"):
        answer = await ask(guarded, method, target(site_id), b"[]", BEACON)
        assert "weir sites list" in answer.problem(404)["detail"] or "%2e" in site_id
        if "%2e" not in site_id:
            readable_by_all(answer)
    assert await topics.ends() == before


async def test_a_revoked_site_is_unknown_within_5_s(guarded: Weir) -> None:
    site = await created(guarded)
    assert (await send(guarded, site, [view("/")])).status == 202
    await write_key(guarded.kafka, site.model_copy(update={"revoked_at": datetime.now(UTC)}))

    async def refused() -> bool:
        return (await send(guarded, site, [view("/")])).status == 404

    await guarded.eventually(refused, within=5)


async def test_a_site_is_no_credential_and_a_key_is_no_site(guarded: Weir, shop: Site) -> None:
    event = b'{"event_type": "page_view", "path": "/"}'
    as_bearer = {**JSON, **bearer(shop.site_id)}
    (await ask(guarded, "POST", EVENTS, event, as_bearer)).problem(401)
    (await ask(guarded, "GET", "/analytics/summary", headers=as_bearer)).problem(401)
    presented, key = create_key("write", "shop", datetime.now(UTC))
    await write_key(guarded.kafka, key)

    async def known() -> bool:
        answer = await ask(guarded, "POST", EVENTS, event, {**JSON, **bearer(presented)})
        return answer.status == 202

    await guarded.eventually(known, within=10)
    (await send(guarded, key.key_id, [view("/")])).problem(404)
    # A secret in a URL is refused before anybody looks for a site.
    (await send(guarded, presented, [view("/")])).problem(400)


async def test_credentials_are_not_looked_at(guarded: Weir, shop: Site) -> None:
    for headers in (bearer("nonsense"), bearer(signed(guarded, exp=1)), {"Cookie": "a=b"}):
        assert (await send(guarded, shop, [view("/")], headers)).status == 202


async def test_other_methods_are_not_possible(guarded: Weir, shop: Site) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = await ask(guarded, method, target(shop.site_id), headers={"Origin": SHOP})
        answer.problem(405)
        assert answer.headers["Allow"] == "POST, OPTIONS"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def limited(edge: Weir) -> AsyncIterator[Weir]:
    weir = copy(edge)
    process = await weir.start_api({"WEIR_AUTH": "required", "WEIR_RATE_LIMIT_KEY": "3/hour"})
    yield weir
    await process.stop(15)


async def test_a_site_that_sends_too_often_is_told_so_and_its_pages_can_read_it(
    limited: Weir,
) -> None:
    site, other = await created(limited), await created(limited)
    # Pages of others use up nothing.
    for _ in range(5):
        refused = await send(limited, site, [view("/")], {"Origin": "https://evil.example"})
        assert refused.status == 403
    for left in (2, 1, 0):
        answer = await send(limited, site, [view("/")])
        assert answer.status == 202
        assert answer.headers["RateLimit-Policy"] == '"key";q=3;w=3600'
        assert answer.headers["RateLimit"].startswith(f'"key";r={left};t=')
        assert answer.headers.getall(ALLOW) == [SHOP]
    answer = await send(limited, site, [view("/")])
    answer.problem(429)
    assert int(answer.headers["Retry-After"]) > 3_500
    assert answer.headers.getall(ALLOW) == [SHOP]
    assert answer.headers.getall("Vary") == ["Origin"]
    assert (await send(limited, other, [view("/")])).status == 202


async def test_its_last_use_is_known_once_the_process_has_ended(edge: Weir) -> None:
    weir = copy(edge)
    process = await weir.start_api({"WEIR_AUTH": "required"})
    site = await created(weir)
    assert site.site_id not in (await read_keys(weir.kafka)).last_used
    assert (await send(weir, site, [view("/")])).status == 202
    await process.stop(15)
    assert site.site_id in (await read_keys(weir.kafka)).last_used
