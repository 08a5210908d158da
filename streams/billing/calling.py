"""Calls to Stripe until they end: how many at once, after how long again, and until when."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from time import monotonic
from typing import Final, TypeVar

import structlog

from streams.billing.account import AnswerKept, KeyRefused, RateLimited
from streams.failures import Retryable

log = structlog.get_logger()

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 60.0
LONGEST_RETRY_AFTER: Final = 300.0
KEY_PAUSE: Final = 10.0
"""A key may be given its rights again at Stripe."""

TOLD_AFTER: Final = 3
"""Failures in a row, of any calls, after which the worker is not ready."""

_Answer = TypeVar("_Answer")
Clock = Callable[[], datetime]


class GivenUp(Retryable):
    """Stripe has not answered until then."""


class Calling:
    """One for the process: what one call learns of Stripe's state holds for all."""

    def __init__(self, at_once: int, clock: Clock, chance: random.Random | None = None) -> None:
        self._calls = asyncio.Semaphore(at_once)
        self._clock = clock
        self._chance = chance or random.Random()  # noqa: S311, no secret
        self.made = 0
        self.failed = 0
        self._not_before = 0.0
        self._failures = 0
        self._problem: str | None = None

    def problem(self) -> str | None:
        """Why nothing can be reported now, or None."""
        return self._problem if self._failures >= TOLD_AFTER else None

    async def until(self, end: datetime, call: Callable[[int], Awaitable[_Answer]]) -> _Answer:
        """The answer to a call, which gets a number that grows when it needs another key.

        Raises Invalid when Stripe refuses it, GivenUp when it has not answered by `end`.
        """
        attempt = key = 0
        while True:
            await self._turn()
            try:
                async with self._calls:
                    self.made += 1
                    answer = await call(key)
            except RateLimited as error:
                pause, said = self._backoff(attempt), "Stripe's rate limit"
                if error.after is not None:
                    pause = min(error.after, LONGEST_RETRY_AFTER)
                    # All wait as long, or each would be told by itself.
                    self._not_before = max(self._not_before, monotonic() + pause)
            except KeyRefused as error:
                self._failed(f"{error}: set STRIPE_API_KEY to one that may report", at_once=True)
                self._not_before = max(self._not_before, monotonic() + KEY_PAUSE)
                pause, said = KEY_PAUSE, str(error)
            except Retryable as error:
                self._failed(str(error))
                key += isinstance(error, AnswerKept)
                pause, said = self._backoff(attempt), str(error)
            else:
                self._well()
                return answer
            attempt += 1
            self.failed += 1
            if self._clock() + timedelta(seconds=pause) > end:
                raise GivenUp(said)
            await asyncio.sleep(pause)

    async def _turn(self) -> None:
        while (left := self._not_before - monotonic()) > 0:  # noqa: ASYNC110, a time, no event
            await asyncio.sleep(left + self._chance.uniform(0, 0.1))

    def _backoff(self, attempt: int) -> float:
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempt, 10))
        return longest * self._chance.uniform(0.5, 1.0)

    def _failed(self, problem: str, *, at_once: bool = False) -> None:
        self._failures = max(self._failures + 1, TOLD_AFTER if at_once else 0)
        if self._failures == TOLD_AFTER or self._problem != problem:
            log.warning("stripe", problem=problem)
        self._problem = problem

    def _well(self) -> None:
        if self._failures >= TOLD_AFTER:
            log.info("stripe answers again")
        self._failures, self._problem = 0, None
