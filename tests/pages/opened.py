"""A page that is open in a browser, and what was wrong while it was."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Literal

from playwright.async_api import Browser, Page, expect

from tests.api.identity.credentials import bearer, signed
from tests.services import Services
from tests.weir import Weir, throwaway_weir

CHECKOUT: Final = Path(__file__).parents[2]
BUILT: Final = CHECKOUT / "frontend" / "dist"
CHROME: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36"
)
WIDE: Final = 1440
NARROW: Final = 360
# A deadline and no bound: a worker that asks to be started anew takes some 20 s.
expect.set_options(timeout=40_000)

Theme = Literal["light", "dark"]


@asynccontextmanager
async def weir_with_pages(
    services: Services, folder: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Weir]:
    """All of Weir but billing, with the pages; `make test` has built them."""
    async with throwaway_weir(services, folder) as weir:
        weir.environment["WEIR_PAGES_DIR"] = str(BUILT)
        weir.environment.update(environment or {})
        weir.start_sink()
        await weir.keep(weir.start_quotas)
        await weir.keep(weir.start_social)
        await weir.start_api()
        await weir.eventually(weir.decides)
        yield weir


def credentials_of(weir: Weir, user: str) -> dict[str, str]:
    """Headers with which a request is this user's."""
    token = signed(weir, sub=user, iss=None, aud=None, roles=["user", "analyst", "admin"])
    return dict(bearer(token))


@asynccontextmanager
async def opened(
    browser: Browser,
    weir: Weir,
    *,
    width: int = WIDE,
    height: int = 900,
    theme: Theme = "light",
    language: str = "en-US",
    zone: str = "Europe/Berlin",
    user: str | None = None,
    expected: tuple[str, ...] = (),
) -> AsyncIterator[Page]:
    """A page of a browser that remembers nothing. What it complains of fails the test.

    `user`: whose it is, with all roles; None: who asks without credentials. `expected`: parts of
    complaints that are meant to be there.
    """
    context = await browser.new_context(
        base_url=weir.url,
        viewport={"width": width, "height": height},
        color_scheme=theme,
        locale=language,
        timezone_id=zone,
        # Without it the browser says that nobody sits before it, and counts as a bot.
        user_agent=CHROME,
        accept_downloads=True,
    )
    if user is not None:
        await context.set_extra_http_headers(credentials_of(weir, user))
    complaints: list[str] = []
    page = await context.new_page()
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on(
        "console",
        lambda message: complaints.append(message.text) if message.type == "error" else None,
    )
    try:
        yield page
    finally:
        await context.close()
    meant = [each for each in complaints if not any(part in each for part in expected)]
    assert meant == []
