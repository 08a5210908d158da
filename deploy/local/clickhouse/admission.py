"""Whose turn it is: so many queries at once, a bounded queue behind them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deploy.local.clickhouse.errors import ClickHouseError, refusal


class Admission:
    """Lets `at_once` requests work and `waiting` more wait, each for at most `timeout` seconds."""

    def __init__(self, *, at_once: int, waiting: int, timeout: float) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._at_once = at_once
        self._places = at_once + waiting
        self._timeout = timeout

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place in the house, taken before the body is read. Raises code 202 when it is full."""
        if self._places == 0:
            raise self._refusal("the queue is full")
        self._places -= 1
        try:
            yield
        finally:
            self._places += 1

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """The right to run a query. Raises code 202 when it does not come in time."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._turns.acquire()
        except TimeoutError:
            raise self._refusal(f"none became free within {self._timeout:g} s") from None
        try:
            yield
        finally:
            self._turns.release()

    def _refusal(self, reason: str) -> ClickHouseError:
        return refusal(
            202,
            "TOO_MANY_SIMULTANEOUS_QUERIES",
            f"Too many simultaneous queries: all {self._at_once} connections are busy and "
            f"{reason}. Send it again later.",
        )
