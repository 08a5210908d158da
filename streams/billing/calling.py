"""Calls to Stripe until they end: how many at once, after how long again, and until when."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from time import monotonic
from typing import Final, TypeVar

import structlog

from schemas.metrics.billing import CALL_DURATION, CALLS, FAILURES
from schemas.metrics.instruments import counter, histogram
from streams.billing.account import AnswerKept, AnswerLost, KeyRefused, NotPermitted, RateLimited
from streams.failures import Overloaded, Retryable

log = structlog.get_logger()

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 60.0
LONGEST_RETRY_AFTER: Final = 300.0
KEY_PAUSE: Final = 10.0
"""A key may be given its rights again at Stripe; one call at a time finds out."""

TOLD_AFTER: Final = 3
"""Failures in a row, of any calls, after which the worker is not ready."""

_Answer = TypeVar("_Answer")
Clock = Callable[[], datetime]


class GivenUp(Retryable):
    """Stripe has not answered until then.

    `told`: it may have done it all the same. `asked`: the last call failed of Stripe; else none
    could be made, or the key was refused, and with it all that anybody could ask.
    """

    def __init__(self, why: str, *, told: bool, asked: bool) -> None:
        super().__init__(why)
        self.told = told
        self.asked = asked


class Calling:
    """One for the process: what one call learns of Stripe's state holds for all."""

    def __init__(self, at_once: int, clock: Clock) -> None:
        self._calls = asyncio.Semaphore(at_once)
        self._clock = clock
        self._chance = random.Random()  # noqa: S311, no secret
        self._not_before = 0.0
        self._failures = 0
        self._problem: str | None = None
        self._key_is_well = asyncio.Event()
        self._key_is_well.set()
        self._probe = asyncio.Lock()
        self._not_permitted: dict[str, str] = {}

    def problem(self) -> str | None:
        """Why something cannot be told to Stripe now, or None."""
        if not self._key_is_well.is_set() or self._failures >= TOLD_AFTER:
            return self._problem
        return next(iter(self._not_permitted.values()), None)

    async def key_is_well(self) -> None:
        """Returns at once unless Stripe refuses the key: then when it takes it again."""
        if not self._key_is_well.is_set() and self._probe.locked():
            await self._key_is_well.wait()

    async def until(
        self, end: datetime, what: str, call: Callable[[int], Awaitable[_Answer]]
    ) -> _Answer:
        """The answer to a call, which gets a number that grows when it needs another key.

        `what` names its kind, of which all succeed or none. Raises Invalid when Stripe refuses it,
        GivenUp when it has not answered by `end`; after that it is not called.
        """
        attempt = key = 0
        told = asked = False
        said = "there was no time left"
        while True:
            async with self._turn():
                if self._clock() > end:
                    raise GivenUp(said, told=told, asked=asked)
                asked = True
                try:
                    with _measured(what):
                        answer = await call(key)
                except RateLimited as error:
                    pause, said = self._backoff(attempt), "Stripe's rate limit"
                    if error.after is not None:
                        pause = min(error.after, LONGEST_RETRY_AFTER)
                        # All wait as long, or each would be told by itself.
                        self._not_before = max(self._not_before, monotonic() + pause)
                except KeyRefused as error:
                    self._key_is_well.clear()
                    asked = False
                    pause, said = KEY_PAUSE, str(error)
                    self._failed(f"{error}: set STRIPE_API_KEY to one that may report")
                except NotPermitted as error:
                    pause, said = KEY_PAUSE, str(error)
                    self._is_not_permitted(what, said)
                except Retryable as error:
                    self._failed(str(error))
                    told |= isinstance(error, AnswerLost | AnswerKept)
                    key += isinstance(error, AnswerKept)
                    pause, said = self._backoff(attempt), str(error)
                else:
                    self._well(what)
                    return answer
                attempt += 1
                if not self._key_is_well.is_set():
                    # Within the turn of the one that finds out: nobody else has to.
                    await asyncio.sleep(pause)
                    continue
            await asyncio.sleep(pause)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """A place among those that call now; with a refused key there is one place."""
        while True:
            while (left := self._not_before - monotonic()) > 0:  # noqa: ASYNC110, a time, no event
                await asyncio.sleep(left + self._chance.uniform(0, 0.1))
            refused = not self._key_is_well.is_set()
            async with self._probe if refused else self._calls:
                # It may have changed while this waited for its place.
                if refused is not self._key_is_well.is_set():
                    yield
                    return

    def _backoff(self, attempt: int) -> float:
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempt, 10))
        return longest * self._chance.uniform(0.5, 1.0)

    def _failed(self, problem: str) -> None:
        self._failures += 1
        if self._failures == TOLD_AFTER or self._problem != problem:
            log.warning("stripe", problem=problem)
        self._problem = problem

    def _is_not_permitted(self, what: str, problem: str) -> None:
        told = f"{what}: {problem}"
        if self._not_permitted.get(what) != told:
            log.warning("stripe", problem=told)
        self._not_permitted[what] = told

    def _well(self, what: str) -> None:
        if self.problem() is not None:
            log.info("stripe answers again", call=what)
        self._failures, self._problem = 0, None
        self._not_permitted.pop(what, None)
        self._key_is_well.set()


@contextmanager
def _measured(what: str) -> Iterator[None]:
    """Counts a call of this kind, how long it takes, and what it fails of if it is repeated."""
    counter(CALLS, what).inc()
    began = monotonic()
    try:
        yield
    except (Retryable, Overloaded) as error:
        counter(FAILURES, what, _FAILURES.get(type(error), "error")).inc()
        raise
    finally:
        histogram(CALL_DURATION, what).observe(monotonic() - began)


_FAILURES: Final[dict[type[Exception], str]] = {
    RateLimited: "rate_limited",
    KeyRefused: "key_refused",
    NotPermitted: "not_permitted",
    AnswerLost: "unreachable",
    AnswerKept: "error",
}
