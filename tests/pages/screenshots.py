"""`make pages-screenshots`: every page as it looks, light, dark and on a phone."""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from playwright.async_api import Browser, async_playwright

from tests.pages.checks import settled
from tests.pages.chromium import ARGUMENTS, chromium
from tests.pages.opened import CHECKOUT, NARROW, WIDE, Theme, opened, weir_with_pages
from tests.pages.scene import furnish
from tests.services import local_services
from tests.weir import Weir

FOLDER: Final = CHECKOUT / "frontend" / "screenshots"
PAGES: Final = {
    "dashboard": "/?range=30d",
    "dashboard-narrowed": "/?range=7d&country=DE&device=mobile",
    "social": "/social-generator",
    "plan": "/plan",
}
LOOKS: Final[dict[str, tuple[Theme, int, str]]] = {
    "light": ("light", WIDE, "en-US"),
    "dark": ("dark", WIDE, "en-US"),
    "phone": ("light", NARROW, "en-US"),
    "arabic": ("light", WIDE, "ar"),
}


async def take(folder: Path) -> None:
    async with (
        local_services(folder) as services,
        weir_with_pages(services, folder) as empty,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        await _pictures(browser, empty, {"first-event": "/"})
        await furnish(empty)
        await _pictures(browser, empty, PAGES)
        await browser.close()


async def _pictures(browser: Browser, weir: Weir, pages: dict[str, str]) -> None:
    for look, (theme, width, language) in LOOKS.items():
        async with opened(browser, weir, theme=theme, width=width, language=language) as page:
            for name, path in pages.items():
                await page.goto(path)
                await settled(page)
                if name == "social":
                    await page.get_by_role("listitem").locator("button").first.click()
                    await page.locator("main img").first.wait_for()
                await page.evaluate("scrollTo(0, 0)")
                file = FOLDER / f"{name}-{look}.png"
                await page.screenshot(path=file, full_page=True, animations="disabled")
                sys.stdout.write(f"{file.relative_to(CHECKOUT)}\n")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="weir-screenshots-") as folder:
        asyncio.run(take(Path(folder)))


main()
