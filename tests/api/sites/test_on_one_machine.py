"""Sites where `WEIR_AUTH=local`: other origins come in here alone, and `demo` is there."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from schemas.sites import Site
from tests.api.requests import EVENTS, JSON, ask
from tests.api.sites.pages import BEACON, SHOP, created, send, target, view
from tests.weir import Weir

pytestmark = pytest.mark.services


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(edge: Weir) -> AsyncIterator[Site]:
    yield await created(edge)


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost",
        "http://localhost:5173",
        "http://127.0.0.1:8000",
        "http://[::1]:3000",
        "https://localhost:8443",
    ],
)
async def test_pages_of_this_machine_may_send_as_demo(edge: Weir, origin: str) -> None:
    answer = await send(edge, "demo", [view("/demo")], {"Origin": origin})
    assert answer.status == 202
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    asked = await ask(edge, "OPTIONS", target("demo"), headers={"Origin": origin})
    assert asked.status == 204


@pytest.mark.parametrize(
    "origin", [SHOP, "http://localhost.evil.example", "http://localhost@evil.example", "null", None]
)
async def test_other_pages_may_not(edge: Weir, origin: str | None) -> None:
    answer = await send(edge, "demo", [view("/demo")], {"Origin": origin})
    answer.problem(403, "Origin")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_a_site_that_was_created_may_send_from_its_origins(edge: Weir, shop: Site) -> None:
    assert (await send(edge, shop, [view("/local")])).status == 202
    (await send(edge, shop, [view("/")], {"Origin": "https://evil.example"})).problem(403)
    # Those of `demo` are not its own.
    (await send(edge, shop, [view("/")], {"Origin": "http://localhost:3000"})).problem(403)


async def test_nothing_else_is_open_to_other_origins(edge: Weir, shop: Site) -> None:
    event = b'{"event_type": "page_view", "path": "/"}'
    targets = (
        EVENTS,
        f"{target(shop.site_id)}/",
        f"/{target(shop.site_id)}",
        f"{target(shop.site_id)}/../../../analytics/events",
        "/sites/a/b/events",
        "/sites//events",
        "/weir.js/",
        "//weir.js",
        "/weir-js",
    )
    for path in targets:
        answer = await ask(edge, "POST", path, event, {**JSON, "Origin": SHOP})
        assert "pages of other sites" in answer.problem(403)["detail"], path


@pytest.mark.parametrize(
    "header", [{"Host": "weir.example.com"}, {"X-Forwarded-For": "203.0.113.9"}, {"Via": "1.1 x"}]
)
async def test_nothing_comes_under_another_name_or_through_a_proxy(
    edge: Weir, shop: Site, header: dict[str, str]
) -> None:
    for site in ("demo", shop.site_id):
        (await ask(edge, "POST", target(site), b"[]", {**BEACON, **header})).problem(421)
