"""One browser, and one Weir with its pages, for the tests that disturb nobody."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.pages.chromium import ARGUMENTS, chromium
from tests.pages.opened import weir_with_pages
from tests.services import Services
from tests.weir import Weir


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A real one. Raises ChromiumMissing: a test that misses it fails."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield running
        await running.close()


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def shown(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Weir]:
    """A Weir with pages; each test tells its events and users apart."""
    async with weir_with_pages(services, tmp_path_factory.mktemp("pages")) as weir:
        yield weir
