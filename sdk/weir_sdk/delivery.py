"""The buffer between the host and Weir, and the thread that empties it."""

import asyncio
import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from random import uniform
from typing import Final, ParamSpec, TypeVar

from weir_sdk.counts import Counts, Tally
from weir_sdk.errors import EventRejected, WeirUnavailable
from weir_sdk.limits import MAX_EVENTS_PER_REQUEST, MAX_REQUEST_BYTES
from weir_sdk.messages import Message
from weir_sdk.page_views import Observation
from weir_sdk.transport import Outcome, Refused, Transport, Unavailable

log = logging.getLogger("weir_sdk")

P = ParamSpec("P")
T = TypeVar("T")

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 10.0
LONGEST_RETRY_AFTER: Final = 60.0
_TURN: Final = 25
"""So many events are made before the interpreter is left to the host again."""
_MAX_EVENT_BYTES: Final = 40_000
"""No event within the contract's bounds is larger."""
MAX_BATCH_BYTES: Final = MAX_REQUEST_BYTES - _TURN * _MAX_EVENT_BYTES
"""Having reached it, a batch may still grow by one turn."""
_CLOSE_SECONDS: Final = 1.0
_SHORTEST_ATTEMPT: Final = 0.1
_START_AGAIN_SECONDS: Final = 1.0
_STOPPED: Final = "the host stopped before Weir confirmed"


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """How events wait and travel; times in seconds."""

    max_buffer: int = 10_000
    flush_interval: float = 0.5
    batch_size: int = 500
    shutdown_timeout: float = 5.0
    give_up_after: float = 30.0

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot work."""
        for name in ("max_buffer", "flush_interval", "give_up_after"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be more than 0")
        if not 1 <= self.batch_size <= MAX_EVENTS_PER_REQUEST:
            raise ValueError(f"batch_size must be 1 to {MAX_EVENTS_PER_REQUEST}")
        if self.shutdown_timeout < 0:
            raise ValueError("shutdown_timeout must not be negative")


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
        self.transport = transport
        self._worker: _Worker | None = None
        self._starting = threading.Lock()
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
        worker = self._worker or self._start()
        if worker is None:
            with self.tally.lock:
                self.tally.taken += 1
            self.tally.drop(1, "no thread could be started")
            raise WeirUnavailable(
                "no thread could be started", event_id=message.event_id, in_doubt=False
            )
        await asyncio.wrap_future(worker.submit(worker.deliver_one(message, within)))

    def counts(self) -> Counts:
        """As of now."""
        with self.tally.lock:
            return self.tally.counts(len(self.waiting))

    async def stop(self) -> None:
        """Delivers what is left, in at most `shutdown_timeout`; counts the rest as dropped."""
        ended = self._ask_to_stop()
        if ended is None:
            return
        bound = self.options.shutdown_timeout + 2 * _CLOSE_SECONDS
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            # A host on another kind of event loop: it has nothing left to do by now.
            _wait(ended, bound)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(ended)), bound)

    def stop_and_wait(self) -> None:
        """The same for whoever has no event loop."""
        ended = self._ask_to_stop()
        if ended is not None:
            _wait(ended, self.options.shutdown_timeout + 2 * _CLOSE_SECONDS)

    def forget(self) -> None:
        """After a fork: what waits is the parent's, and its thread is not here."""
        self.waiting.clear()
        self.tally.begin_anew()
        self._worker = None
        self._starting = threading.Lock()

    def ended(self, worker: "_Worker") -> None:
        if self._worker is worker:
            self._worker = None
        atexit.unregister(self.stop_and_wait)

    def _ask_to_stop(self) -> Future[None] | None:
        worker = self._worker
        if worker is None:
            return None
        worker.ask_to_stop()
        return worker.has_ended

    def _start(self) -> "_Worker | None":
        with self._starting:
            if self._worker is None and time.monotonic() >= self._start_again_at:
                worker = _Worker(self)
                try:
                    worker.start()
                except RuntimeError:
                    # No thread is to be had, or the interpreter ends.
                    self._start_again_at = time.monotonic() + _START_AGAIN_SECONDS
                else:
                    self._worker = worker
                    atexit.register(self.stop_and_wait)
            return self._worker


_living: Final["weakref.WeakSet[Delivery]"] = weakref.WeakSet()


def _after_fork() -> None:
    for delivery in list(_living):
        delivery.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _wait(ended: Future[None], seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        ended.result(seconds)


class _InPlace(ThreadPoolExecutor):
    """Runs at once what is submitted. Only this thread's loop uses it, for names of hosts.

    Python takes no work for a pool of threads when the interpreter ends, and the last batch may
    be the first that needs a connection.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - handed to whoever submitted it
            future.set_exception(error)
        return future


class _Worker:
    """One run of the thread: an event loop that takes batch after batch to Weir."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._options = delivery.options
        self._tally = delivery.tally
        self._waiting = delivery.waiting
        self._transport = delivery.transport
        self._started = False
        self._starting = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._over = False
        self._loop = asyncio.SelectorEventLoop()
        self._loop.set_default_executor(_InPlace())
        self.has_ended: Future[None] = Future()

    def start(self) -> None:
        """Raises RuntimeError when no thread can be started."""
        try:
            threading.Thread(target=self._run, name="weir_sdk", daemon=True).start()
        except RuntimeError:
            self._loop.close()
            raise

    def ask_to_stop(self) -> None:
        with contextlib.suppress(RuntimeError):  # it has ended already
            self._loop.call_soon_threadsafe(self._stopping.set)

    def submit(self, work: Coroutine[object, object, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except Exception:
            log.exception("the thread of weir_sdk failed; it starts again with the next event")
        finally:
            self._loop.close()
            self._delivery.ended(self)
            self.has_ended.set_result(None)

    async def _serve(self) -> None:
        pump = asyncio.create_task(self._pump())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({pump, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not pump.done():
            await asyncio.wait({pump}, timeout=self._options.shutdown_timeout)
        self._over = True
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=_CLOSE_SECONDS)
        if left := self._pop(len(self._waiting)):
            self._tally.drop(len(left), "the host stopped before they could be sent")
        if self._started:
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._transport.stop()
            except Exception as error:  # noqa: BLE001 - a transport may be anybody's
                log.warning("the transport could not be stopped: %s", type(error).__name__)
        self._tally.report(time.monotonic(), finally_=True)

    async def _pump(self) -> None:
        while not self._over:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._options.flush_interval)
            stopping = self._stopping.is_set()
            while self._waiting and not self._over:
                if batch := self._take():
                    await self._deliver(batch)
            self._tally.report(time.monotonic())
            if stopping:
                return

    async def _pause(self, seconds: float) -> None:
        """Waits so long before another attempt; one comes at once when the host stops."""
        if self._stopping.is_set():
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _pop(self, count: int) -> list[Message | Observation]:
        with self._tally.lock:
            items = [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]
            self._tally.taken += len(items)
        return items

    def _take(self) -> list[Message]:
        """The next batch, within the bounds in events and bytes; may be empty."""
        messages: list[Message] = []
        size = 0
        while self._waiting and len(messages) < self._options.batch_size:
            if size >= MAX_BATCH_BYTES:
                break
            for item in self._pop(min(_TURN, self._options.batch_size - len(messages))):
                try:
                    message = item if isinstance(item, Message) else item[0](item)
                except Exception as error:  # noqa: BLE001 - a request of any shape
                    self._tally.drop(1, f"a request could not be read ({type(error).__name__})")
                    continue
                messages.append(message)
                size += len(message.body) + 1
            # Lets the host have the interpreter, which it would get from us only after 5 ms.
            time.sleep(0)
        return messages

    async def _deliver(self, batch: list[Message]) -> None:
        try:
            outcome = await self._attempts(batch, self._options.give_up_after)
        except _GaveUp as gave_up:
            self._tally.drop(len(batch), gave_up.reason, in_doubt=gave_up.in_doubt)
        except asyncio.CancelledError:
            self._tally.drop(len(batch), _STOPPED, in_doubt=True)
            raise
        else:
            first = outcome.rejected[0] if outcome.rejected else None
            self._tally.settle(
                sent=len(batch) - len(outcome.rejected),
                rejected=len(outcome.rejected),
                reason=None if first is None else f"{first.field}: {first.detail}"[:200],
            )

    async def deliver_one(self, message: Message, within: float) -> None:
        """As Delivery.deliver, in this thread."""
        with self._tally.lock:
            self._tally.taken += 1
        try:
            outcome = await self._attempts([message], within)
        except _GaveUp as gave_up:
            self._tally.drop(1, gave_up.reason, in_doubt=gave_up.in_doubt)
            raise WeirUnavailable(
                gave_up.reason, event_id=message.event_id, in_doubt=gave_up.in_doubt
            ) from None
        except asyncio.CancelledError:
            self._tally.drop(1, _STOPPED if self._over else "the caller left", in_doubt=True)
            if not self._over:
                raise
            # Whoever waits for this was not cancelled.
            raise WeirUnavailable(_STOPPED, event_id=message.event_id, in_doubt=True) from None
        if outcome.rejected:
            first = outcome.rejected[0]
            self._tally.settle(sent=0, rejected=1, reason=f"{first.field}: {first.detail}"[:200])
            raise EventRejected(field=first.field, detail=first.detail, event_id=message.event_id)
        self._tally.settle(sent=1, rejected=0)

    async def _attempts(self, batch: list[Message], within: float) -> Outcome:
        """Tries until Weir has answered for good or the time is over. Raises _GaveUp."""
        deadline = time.monotonic() + within
        in_doubt = False
        pause = FIRST_PAUSE
        while True:
            sending = False
            try:
                async with asyncio.timeout(max(_SHORTEST_ATTEMPT, deadline - time.monotonic())):
                    await self._start_transport()
                    sending = True
                    return await self._transport.send(batch)
            except Unavailable as error:
                reason = str(error)
                in_doubt = in_doubt or error.in_doubt
                asked = min(error.retry_after or 0.0, LONGEST_RETRY_AFTER)
            except TimeoutError:
                reason, asked = "Weir did not answer in time", 0.0
                in_doubt = in_doubt or sending
            except Refused as error:
                raise _GaveUp(str(error), in_doubt=in_doubt) from None
            except Exception as error:
                log.exception("the transport failed")
                reason = f"the transport failed ({type(error).__name__})"
                raise _GaveUp(reason, in_doubt=True) from None
            wait = max(asked, uniform(pause / 2, pause))  # noqa: S311 - only spreads retries
            if time.monotonic() + wait >= deadline:
                raise _GaveUp(reason, in_doubt=in_doubt)
            pause = min(2 * pause, LONGEST_PAUSE)
            self._tally.report(time.monotonic())
            await self._pause(wait)

    async def _start_transport(self) -> None:
        async with self._starting:
            if not self._started:
                await self._transport.start()
                self._started = True


class _GaveUp(Exception):
    """A batch will not be tried again."""

    def __init__(self, reason: str, *, in_doubt: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.in_doubt = in_doubt
