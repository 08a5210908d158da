"""What holds for every page: axe finds nothing, and nothing is wider than the screen."""

from typing import Any, Final

from playwright.async_api import Page

from tests.pages.opened import CHECKOUT

_AXE: Final = CHECKOUT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
PAGES: Final = ("/", "/social-generator", "/plan")
LANGUAGES: Final = ("en", "de", "es", "fr", "ja", "ar")


async def violations(page: Page) -> list[dict[str, Any]]:
    """Every rule of axe's that the page breaks, best practices too: its name, and where."""
    # Evaluated, not added as a script: the page's policy takes none.
    await page.evaluate(_AXE.read_text())
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        {
            "rule": each["id"],
            "where": [node["target"] for node in each["nodes"]],
            "why": each["nodes"][0]["failureSummary"],
        }
        for each in found["violations"]
    ]


async def too_wide(page: Page) -> list[str]:
    """What sticks out of the page sideways, where the page scrolls because of it."""
    wide: list[str] = await page.evaluate(
        """() => {
            const root = document.documentElement;
            if (root.scrollWidth <= root.clientWidth) return [];
            return [...document.body.querySelectorAll("*")]
                .filter((each) => {
                    const {left, right} = each.getBoundingClientRect();
                    return right > root.clientWidth + 1 || left < -1;
                })
                .map((each) => each.outerHTML.slice(0, 120));
        }"""
    )
    return wide


async def settled(page: Page) -> None:
    """Returns once nothing of the page is being loaded any more."""
    await page.wait_for_function(
        "() => document.querySelector('h1') !== null"
        " && document.querySelector('.animate-pulse') === null"
    )


async def tab_to(page: Page, name: str, *, backwards: bool = False) -> None:
    """Presses Tab until what is called so has the focus."""
    for _ in range(80):
        await page.keyboard.press("Shift+Tab" if backwards else "Tab")
        focused = await page.evaluate(
            """() => {
                const each = document.activeElement;
                const labels = [...(each.labels ?? [])].map((label) => label.textContent);
                const words = each.matches("a, button") ? each.textContent : "";
                return [each.getAttribute("aria-label"), ...labels, words].join(" ");
            }"""
        )
        if name in focused:
            return
    raise AssertionError(f"{name} does not take the focus")
