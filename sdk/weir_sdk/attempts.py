"""Attempts to deliver a batch, again and again until Weir has answered or the time is over."""

import asyncio
import contextlib
import logging
import time
from random import uniform
from typing import Final

from weir_sdk.counts import Tally
from weir_sdk.messages import Message
from weir_sdk.transport import Outcome, Refused, Transport, Unavailable

log = logging.getLogger("weir_sdk")

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 10.0
LONGEST_RETRY_AFTER: Final = 60.0
_SHORTEST_ATTEMPT: Final = 0.1


class GaveUp(Exception):
    """A batch will not be tried again."""

    def __init__(self, reason: str, *, in_doubt: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.in_doubt = in_doubt


class Attempts:
    """Opens the transport with the first batch. All calls come from one event loop."""

    def __init__(self, transport: Transport, tally: Tally, stopping: asyncio.Event) -> None:
        """When `stopping` is set, whatever waits for its next attempt makes it at once."""
        self._transport = transport
        self._tally = tally
        self._stopping = stopping
        self._not_before = 0.0
        self._started = False
        self._starting = asyncio.Lock()

    async def deliver(self, batch: list[Message], within: float) -> Outcome:
        """Tries until Weir has answered for good or the time is over. Raises GaveUp."""
        deadline = time.monotonic() + within
        in_doubt = False
        pause = FIRST_PAUSE
        while True:
            sending = False
            try:
                async with asyncio.timeout(max(_SHORTEST_ATTEMPT, deadline - time.monotonic())):
                    await self._start_transport()
                    sending = True
                    return _checked(await self._transport.send(batch))
            except Unavailable as error:
                reason = str(error)
                in_doubt = in_doubt or error.in_doubt
                asked = min(error.retry_after or 0.0, LONGEST_RETRY_AFTER)
                self._not_before = time.monotonic() + asked
            except TimeoutError:
                reason, asked = "Weir did not answer in time", 0.0
                in_doubt = in_doubt or sending
            except Refused as error:
                raise GaveUp(str(error), in_doubt=in_doubt) from None
            except Exception as error:
                log.exception("the transport failed")
                reason = f"the transport failed ({type(error).__name__})"
                raise GaveUp(reason, in_doubt=True) from None
            wait = max(asked, uniform(pause / 2, pause))  # noqa: S311 - only spreads retries
            if time.monotonic() + wait >= deadline:
                raise GaveUp(reason, in_doubt=in_doubt)
            pause = min(2 * pause, LONGEST_PAUSE)
            self._tally.report(time.monotonic())
            await self._pause(wait)

    async def wait_as_asked(self) -> None:
        """Returns when Weir wants to be asked again, or the host stops.

        A batch that could not wait so long is given up; those behind it are not.
        """
        left = self._not_before - time.monotonic()
        if left > 0 and not self._stopping.is_set():
            self._tally.report(time.monotonic())
            await self._pause(left)

    async def _start_transport(self) -> None:
        async with self._starting:
            if not self._started:
                await self._transport.start()
                self._started = True

    async def stop(self) -> None:
        """Closes the transport, if it was opened."""
        if self._started:
            await self._transport.stop()

    async def _pause(self, seconds: float) -> None:
        """Waits so long before another attempt; one comes at once when the host stops."""
        if self._stopping.is_set():
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


def _checked(outcome: object) -> Outcome:
    """What a transport returned, which may be anybody's."""
    if not isinstance(outcome, Outcome):
        raise TypeError(f"send must return an Outcome, not {type(outcome).__name__}")
    return outcome
