"""What one does on the pages, done without a mouse."""

from uuid import uuid4

import pytest
from playwright.async_api import Browser, expect

from tests.pages.checks import tab_to
from tests.pages.opened import opened
from tests.weir import Weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(280)]


async def test_a_post_is_made_by_keyboard_alone(shown: Weir, browser: Browser) -> None:
    user = f"user-{uuid4().hex[:12]}"
    async with opened(browser, shown, user=user) as page:
        await page.goto("/")
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await tab_to(page, "Social posts")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Social posts")).to_be_visible()
        await tab_to(page, "What is the post about?")
        await page.keyboard.type("By keyboard")
        await page.keyboard.press("Control+Enter")
        await expect(page.get_by_role("img", name="Picture for").first).to_be_visible()
        await tab_to(page, "Edit")
        await page.keyboard.press("Enter")
        await page.keyboard.press("End")
        await page.keyboard.type("!")
        await tab_to(page, "Show plan and usage", backwards=True)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog", name="Your credits")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_be_hidden()
        await expect(page.locator(":focus")).to_contain_text("99 credits")


async def test_a_view_is_chosen_narrowed_and_read_as_a_table(shown: Weir, browser: Browser) -> None:
    mark = uuid4().hex
    for country in ("DE", "DE", "JP"):
        await shown.post(
            "/analytics/events",
            {
                "event_type": "page_view",
                "path": f"/{mark}",
                "visitor_id": uuid4().hex,
                "source": mark,
                "metadata": {"country": country},
            },
        )

    async def counted() -> bool:
        return (await shown.summary(source=mark)) == {f"/{mark}": 3}

    await shown.eventually(counted)
    async with opened(browser, shown) as page:
        views = page.locator("[data-tile=views]")
        await page.goto(f"/?source={mark}")
        await expect(views).to_have_text("3")
        await tab_to(page, "Range")
        # A list is chosen from by its first letters.
        await page.keyboard.type("Last 90")
        await expect(page.get_by_label("Range")).to_have_value("90d")
        await tab_to(page, "Referrer")
        await page.keyboard.press("ArrowRight")
        await expect(page.get_by_role("button", name="Germany")).to_be_visible()
        await tab_to(page, "Germany")
        await page.keyboard.press("Enter")
        await expect(views).to_have_text("2")
        await tab_to(page, "Show as a table", backwards=True)
        await page.keyboard.press("Enter")
        series = page.get_by_role("region", name="Over time")
        await expect(series.get_by_role("table")).to_be_visible()
        await tab_to(page, "Remove Country: Germany", backwards=True)
        await page.keyboard.press("Enter")
        await expect(views).to_have_text("3")


async def test_what_failed_is_tried_again(shown: Weir, browser: Browser) -> None:
    async with opened(browser, shown, expected=("Failed to load resource",)) as page:
        await page.route("**/api/plans", lambda route: route.abort())
        await page.goto("/plan")
        await expect(page.get_by_role("alert")).to_contain_text("Weir cannot be reached")
        await page.unroute("**/api/plans")
        await tab_to(page, "Try again")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Business")).to_be_visible()


async def test_language_and_theme_are_chosen(shown: Weir, browser: Browser) -> None:
    async with opened(browser, shown) as page:
        await page.goto("/plan")
        await tab_to(page, "Language and theme")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await page.keyboard.press("Tab")
        await page.keyboard.type("Da")
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        await page.keyboard.press("Shift+Tab")
        await page.keyboard.type("Deutsch")
        await expect(page.locator("html")).to_have_attribute("lang", "de")
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Tarif")
