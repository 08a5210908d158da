"""The host's side of delivery: the buffer, and when a thread that empties it starts and ends."""

import asyncio
import atexit
import contextlib
import os
import threading
import time
import weakref
from collections import deque
from concurrent.futures import Future
from typing import Final

from weir_sdk.counts import Counts, Tally
from weir_sdk.delivery_options import DeliveryOptions
from weir_sdk.errors import WeirUnavailable
from weir_sdk.messages import Message
from weir_sdk.page_views import Observation
from weir_sdk.transport import Transport
from weir_sdk.worker import LONGEST_END, Worker

_START_AGAIN_SECONDS: Final = 1.0
_GRACE_SECONDS: Final = 0.5
"""The thread says why an event was not confirmed, and is given so long for it."""


class Delivery:
    """Takes events without waiting, and delivers them from a thread of its own.

    The thread starts with the first event of a process, again after a fork and after `stop`. It
    keeps no process alive; what is left at the interpreter's exit gets `shutdown_timeout`.
    """

    def __init__(self, transport: Transport, options: DeliveryOptions) -> None:
        self.options = options
        self.tally = Tally()
        self.waiting: deque[Message | Observation] = deque()
        self._max_buffer = options.max_buffer
        self._transport = transport
        self._worker: Worker | None = None
        self._changing = threading.Lock()
        self._start_again_at = 0.0
        _living.add(self)

    def put(self, item: Message | Observation) -> None:
        """Never waits, never raises; counts as dropped what the buffer has no room for."""
        if len(self.waiting) >= self._max_buffer:
            self.tally.overflow()
        else:
            self.waiting.append(item)
        if self._worker is None:
            self._start()

    async def deliver(self, message: Message, within: float) -> None:
        """Returns when Weir has confirmed; raises EventRejected or WeirUnavailable, in time."""
        deadline = time.monotonic() + within
        while True:
            left = deadline - time.monotonic()
            worker = self._worker or self._start()
            if worker is None:
                raise self._refused(message, "no thread could be started")
            confirmed = worker.submit(message, left)
            if confirmed is not None:
                await self._confirmed(confirmed, message, left + _GRACE_SECONDS)
                return
            if left <= 0:
                raise self._refused(message, "the client was closing")
            # This one ends, and with it the transport, which the next one opens again.
            await asyncio.wait({asyncio.wrap_future(worker.has_ended)}, timeout=left)

    def counts(self) -> Counts:
        """As of now."""
        with self.tally.lock:
            return self.tally.counts(len(self.waiting))

    async def stop(self) -> None:
        """Delivers what is left, in at most `shutdown_timeout`; counts the rest as dropped."""
        ended = self._ask_to_stop()
        if ended is None:
            return
        bound = self.options.shutdown_timeout + LONGEST_END
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            # A host on another kind of event loop: it has nothing left to do by now.
            _wait(ended, bound)
            return
        await asyncio.wait({asyncio.wrap_future(ended)}, timeout=bound)

    def stop_and_wait(self) -> None:
        """The same for whoever has no event loop."""
        ended = self._ask_to_stop()
        if ended is not None:
            _wait(ended, self.options.shutdown_timeout + LONGEST_END)

    def forget(self) -> None:
        """After a fork: what waits is the parent's, and its thread is not here."""
        self.waiting.clear()
        self.tally.begin_anew()
        self._worker = None
        self._changing = threading.Lock()

    def _ended(self, worker: Worker) -> None:
        """The worker has ended. What came while it closed down is the next one's."""
        with self._changing:
            if self._worker is not worker:
                return
            self._worker = None
            atexit.unregister(self.stop_and_wait)
            if worker.failed:
                self._start_again_at = time.monotonic() + _START_AGAIN_SECONDS
            elif self.waiting:
                self._start_locked()

    def _ask_to_stop(self) -> Future[None] | None:
        worker = self._worker
        if worker is None:
            return None
        worker.ask_to_stop()
        return worker.has_ended

    def _start(self) -> Worker | None:
        with self._changing:
            return self._start_locked()

    def _start_locked(self) -> Worker | None:
        if self._worker is None and time.monotonic() >= self._start_again_at:
            try:
                worker = Worker(
                    self._transport, self.options, self.waiting, self.tally, self._ended
                )
                worker.start()
            except (RuntimeError, OSError):
                # No thread or no file is to be had, or the interpreter ends.
                self._start_again_at = time.monotonic() + _START_AGAIN_SECONDS
            else:
                self._worker = worker
                atexit.register(self.stop_and_wait)
        return self._worker

    async def _confirmed(self, confirmed: Future[None], message: Message, within: float) -> None:
        """As `deliver`, also while the thread stands still, as for a name that nobody resolves.

        The thread does not: it delivers the event all the same once it can.
        """
        answer = asyncio.wrap_future(confirmed)
        try:
            await asyncio.wait({answer}, timeout=within)
        except asyncio.CancelledError:
            answer.cancel()
            raise
        if not answer.done():
            answer.add_done_callback(_noticed)
            raise WeirUnavailable(
                "Weir did not answer in time", event_id=message.event_id, in_doubt=True
            )
        answer.result()

    def _refused(self, message: Message, why: str) -> WeirUnavailable:
        with self.tally.lock:
            self.tally.taken += 1
        self.tally.drop(1, why)
        return WeirUnavailable(why, event_id=message.event_id, in_doubt=False)


_living: Final["weakref.WeakSet[Delivery]"] = weakref.WeakSet()


def _after_fork() -> None:
    for delivery in list(_living):
        delivery.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _noticed(answer: asyncio.Future[None]) -> None:
    """Nobody waits for it any more: asyncio need not say that its error was never looked at."""
    if not answer.cancelled():
        answer.exception()


def _wait(ended: Future[None], seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        ended.result(seconds)
