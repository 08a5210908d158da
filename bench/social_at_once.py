"""Posts of many users at once on two workers, before a fake of OpenAI that takes a second."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.services import Services
from tests.streams.social.stage import DELAY, POSTS, USERS, ideal, staged
from tests.weir import throwaway_weir

IN_FLIGHT: Final = (25, 50, 100)
ASKED: Final = 1.5
"""Times the ideal."""


async def of_many_users(services: Services, folder: Path, say: Callable[[str], None]) -> None:
    """(m) the same posts with as many in flight in each worker."""
    for in_flight in IN_FLIGHT:
        async with throwaway_weir(services, folder) as weir:
            seconds = await (await staged(weir, in_flight)).seconds()
        least = ideal(in_flight)
        say(
            f"(m) {POSTS} posts of {USERS} users at once, two workers, {in_flight} in flight in "
            f"each, {DELAY:.0f} s for each call: {seconds:.2f} s, {seconds / least:.2f} times the "
            f"ideal {least:.2f} s (asked: at most {ASKED})"
        )
