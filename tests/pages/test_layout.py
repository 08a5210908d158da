"""Every page in every language at every width, in light and dark: readable, and sound for axe."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.pages.checks import LANGUAGES, PAGES, settled, too_wide, violations
from tests.pages.opened import NARROW, WIDE, Theme, opened, weir_with_pages
from tests.services import Services
from tests.weir import Weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(280)]

WIDTHS: Final = (NARROW, 768, WIDE)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def lived_in(shown: Weir) -> Weir:
    """The Weir of the other tests with events, posts and a ledger."""
    now = datetime.now(UTC)
    events: list[dict[str, Any]] = [
        {
            "event_type": "conversion" if number % 9 == 0 else "page_view",
            "path": f"/layout/{number % 17}/a-path-that-goes-on-for-longer-than-others",
            "visitor_id": f"v-{uuid4()}",
            "source": "layout",
            "occurred_at": (now - timedelta(hours=number)).isoformat(),
            "metadata": {"country": "DE", "referrer": f"https://a{number % 12}.example/"},
        }
        for number in range(160)
    ]
    status, _ = await shown.post("/analytics/events", events)
    assert status == 202
    for platform in ("x", "instagram"):
        status, _ = await shown.post(
            "/social/post", {"prompt": "Our new espresso blend", "platform": platform}
        )
        assert status == 200

    async def there() -> bool:
        _, posts = await shown.get("/social/posts")
        _, ledger = await shown.get("/api/user/usage")
        counts = await shown.summary(source="layout")
        return bool(
            len(posts["items"]) >= 2 and ledger["items"] and sum(counts.values()) == len(events)
        )

    await shown.eventually(there)
    return shown


@pytest.mark.parametrize("language", LANGUAGES)
async def test_no_page_scrolls_sideways(lived_in: Weir, browser: Browser, language: str) -> None:
    async with opened(browser, lived_in, language=language) as page:
        for path in PAGES:
            await page.goto(path)
            await settled(page)
            root = page.locator("html")
            await expect(root).to_have_attribute("lang", language)
            await expect(root).to_have_attribute("dir", "rtl" if language == "ar" else "ltr")
            for width in WIDTHS:
                await page.set_viewport_size({"width": width, "height": 900})
                assert await too_wide(page) == [], (path, width)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [NARROW, WIDE])
async def test_axe_finds_nothing(
    lived_in: Weir, browser: Browser, theme: Theme, width: int
) -> None:
    async with opened(browser, lived_in, theme=theme, width=width) as page:
        for path in PAGES:
            await page.goto(path)
            await settled(page)
            assert await violations(page) == [], path
        await page.get_by_role("button", name="Language and theme").click()
        await expect(page.get_by_label("Language", exact=True)).to_be_visible()
        assert await violations(page) == []
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="Show plan and usage").click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        assert await violations(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_nothing_where_there_is_nothing_yet_and_where_all_fails(
    services: Services, tmp_path: Path, browser: Browser, theme: Theme
) -> None:
    expected = ("Failed to load resource",)
    async with (
        weir_with_pages(services, tmp_path) as weir,
        opened(browser, weir, theme=theme, width=NARROW, expected=expected) as page,
    ):
        for path in PAGES:
            await page.goto(path)
            await settled(page)
            assert await violations(page) == [], path
            assert await too_wide(page) == [], path
        for asked in ("analytics", "api", "social/posts"):
            await page.route(
                f"**/{asked}/**", lambda route: route.fulfill(status=503, json={"detail": "away"})
            )
            await page.route(
                f"**/{asked}?**", lambda route: route.fulfill(status=503, json={"detail": "away"})
            )
        for path in PAGES:
            await page.goto(path)
            await expect(page.get_by_role("button", name="Try again").first).to_be_visible()
            assert await violations(page) == [], path
            assert await too_wide(page) == [], path


async def test_the_chosen_language_and_theme_hold_after_a_reload(
    shown: Weir, browser: Browser
) -> None:
    async with opened(browser, shown) as page:
        await page.goto("/plan")
        await page.get_by_role("button", name="Language and theme").click()
        await page.get_by_label("Theme", exact=True).select_option("dark")
        await page.get_by_label("Language", exact=True).select_option("ar")
        await expect(page.locator("html")).to_have_attribute("dir", "rtl")
        await page.reload()
        await expect(page.locator("html")).to_have_attribute("dir", "rtl")
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        ground = await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert ground == "rgb(11, 20, 21)"


async def test_who_wants_no_motion_gets_none(shown: Weir, browser: Browser) -> None:
    async with opened(browser, shown) as page:
        await page.emulate_media(reduced_motion="reduce")
        # Never answered, so that what moves while it waits is there.
        await page.route("**/api/user/plan", lambda _: None)
        await page.goto("/plan")
        waiting = page.locator(".animate-pulse").first
        await expect(waiting).to_be_visible()
        duration = await waiting.evaluate("each => getComputedStyle(each).animationDuration")
        assert float(duration.rstrip("s")) < 0.001
