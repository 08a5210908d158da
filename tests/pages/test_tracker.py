"""The tracker on a website of another origin, in a real browser, up to the dashboard."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from aiohttp import web
from playwright.async_api import Browser, expect

from deploy.local.ports import free_port
from tests.pages.opened import opened
from tests.weir import Weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(280)]

SCRIPT = """
addEventListener("click", (event) => {
  const { to, converts } = event.target.dataset;
  if (to) { event.preventDefault(); history.pushState({}, "", to); }
  if (converts) weir("conversion", { path: converts, user_id: "u-42", plan: "team" });
});
"""


@asynccontextmanager
async def website(weir: Weir, root: str) -> AsyncIterator[str]:
    """A single-page shop that takes scripts from itself and from Weir alone; yields its origin."""
    links = "".join(f'<a href="{root}/{n}" data-to="{root}/{n}">go {n}</a> ' for n in range(1, 6))
    page = (
        f'<!doctype html><title>Shop</title><script defer src="{weir.url}/weir.js" '
        f'data-site="demo"></script><script src="/shop.js"></script>{links}'
        f'<button data-converts="{root}/paid">Pay</button>'
    )
    policy = f"default-src 'none'; script-src 'self' {weir.url}; connect-src {weir.url}"

    async def show(request: web.Request) -> web.Response:
        if request.path == "/shop.js":
            return web.Response(text=SCRIPT, content_type="text/javascript")
        return web.Response(
            text=page, content_type="text/html", headers={"Content-Security-Policy": policy}
        )

    app = web.Application()
    app.router.add_get("/{path:.*}", show)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def test_navigations_and_a_conversion_are_exactly_what_the_dashboard_shows(
    shown: Weir, browser: Browser
) -> None:
    root = f"/{uuid4().hex}"
    async with website(shown, root) as origin, opened(browser, shown) as shop:
        await shop.goto(f"{origin}{root}/start")
        await shop.wait_for_function("() => typeof weir === 'function'")
        for number in range(1, 6):
            await shop.get_by_text(f"go {number}").click()
        await shop.get_by_text("Pay").click()
        expected = {f"{root}/start": 1, f"{root}/paid": 1}
        expected |= {f"{root}/{number}": 1 for number in range(1, 6)}

        async def counted() -> bool:
            counts = await shown.summary(source="demo")
            return {path: n for path, n in counts.items() if path.startswith(root)} == expected

        await shown.eventually(counted)

        # Back and forward, and the page again: each is seen once more.
        await shop.go_back()
        await shop.go_forward()
        await shop.reload()
        expected[f"{root}/4"] += 1
        expected[f"{root}/5"] += 2
        await shown.eventually(counted)
        assert await shop.context.cookies() == []
        assert await shop.evaluate("localStorage.length + sessionStorage.length") == 0

        async with opened(browser, shown) as page:
            await page.goto(f"/?source=demo&path={root}/5")
            await expect(page.locator("[data-tile=views]")).to_have_text("3")
            await page.goto(f"/?source=demo&path={root}/paid")
            await expect(page.locator("[data-tile=conversions]")).to_have_text("1")
            await expect(page.locator("[data-tile=views]")).to_have_text("0")
            await page.goto("/?source=demo")
            top = page.get_by_role("region", name="Top paths")
            more = top.get_by_role("button", name="Show all")
            if await more.count():
                await more.click()
            for number in range(1, 4):
                row = top.get_by_role("row").filter(has_text=f"{root}/{number}")
                await expect(row.get_by_role("cell").first).to_have_text("1")


async def test_who_asks_not_to_be_tracked_is_counted_without_a_name(
    shown: Weir, browser: Browser
) -> None:
    root = f"/{uuid4().hex}"
    async with website(shown, root) as origin, opened(browser, shown) as shop:
        await shop.context.set_extra_http_headers({"Sec-GPC": "1"})
        await shop.add_init_script(
            "Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})"
        )
        await shop.goto(f"{origin}{root}/start")
        await shop.get_by_text("Pay").click()

        async def stored() -> bool:
            counts = await shown.summary(source="demo")
            return counts.get(f"{root}/start") == counts.get(f"{root}/paid") == 1

        await shown.eventually(stored)
        for path in (f"{root}/start", f"{root}/paid"):
            async with shown.session.get(
                f"{shown.url}/analytics/events", params={"path": path}
            ) as answer:
                found = await answer.json()
            [event] = found["items"]
            assert (event["visitor_id"], event["user_id"], event["referrer"]) == (None, None, "")


async def test_a_weir_that_is_away_is_nothing_to_the_page(shown: Weir, browser: Browser) -> None:
    root = f"/{uuid4().hex}"
    expected = ("Failed to load resource", "net::ERR")
    async with (
        website(shown, root) as origin,
        opened(browser, shown, expected=expected) as shop,
    ):
        await shop.route("**/sites/**", lambda route: route.abort())
        await shop.goto(f"{origin}{root}/start")
        await shop.get_by_text("go 1").click()
        await shop.get_by_text("Pay").click()
        assert shop.url == f"{origin}{root}/1"
