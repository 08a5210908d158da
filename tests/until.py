"""Waits within a test's own process for what tells nobody when it happens."""

import asyncio
from collections.abc import Callable
from typing import Final

SECONDS: Final = 20.0


async def until(condition: Callable[[], bool]) -> None:
    """Returns when the condition holds. Raises TimeoutError after SECONDS."""
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.01)
