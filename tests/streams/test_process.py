"""What a worker's process tells whoever started it."""

import asyncio

import pytest

from deploy.local.notifications import Notifications
from streams.group import process

pytestmark = pytest.mark.services


class Reading:
    """A worker whose table is read by a tenth with each look."""

    def __init__(self) -> None:
        self.left = 10_000
        self._complete = asyncio.Event()

    async def start(self) -> None: ...

    async def assigned(self) -> None:
        await self._complete.wait()

    def remaining_changes(self) -> int:
        self.left -= 1_000
        if self.left == 0:
            self._complete.set()
        return self.left

    async def wait_failed(self) -> None:
        await asyncio.Event().wait()

    async def stop(self) -> bool:
        return True


async def test_while_its_table_is_read_it_says_how_much_is_to_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "STATUS_SECONDS", 0.01)
    said: list[str] = []
    async with Notifications(said.append) as notifications:
        monkeypatch.setenv("NOTIFY_SOCKET", notifications.address)
        await process._say_when_ready("quotas", Reading(), "group")
        await asyncio.wait_for(notifications.ready.wait(), 10)
    assert said == [
        f"reading its table, {left:,} changes to go" for left in range(9_000, 0, -1_000)
    ]
