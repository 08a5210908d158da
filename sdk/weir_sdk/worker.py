"""The thread beside the host: makes messages of what waits, and has them delivered."""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from typing import Any, Final, ParamSpec, TypeVar

from weir_sdk.attempts import Attempts, GaveUp
from weir_sdk.counts import Tally
from weir_sdk.delivery_options import DeliveryOptions
from weir_sdk.errors import EventRejected, WeirUnavailable
from weir_sdk.limits import MAX_REQUEST_BYTES
from weir_sdk.messages import Message
from weir_sdk.page_views import Observation
from weir_sdk.transport import Outcome, Transport

log = logging.getLogger("weir_sdk")

P = ParamSpec("P")
T = TypeVar("T")

_TURN: Final = 25
"""So many events are made before the interpreter is left to the host again."""
_MAX_EVENT_BYTES: Final = 40_000
"""No event within the contract's bounds is larger."""
MAX_BATCH_BYTES: Final = MAX_REQUEST_BYTES - _TURN * _MAX_EVENT_BYTES
"""Having reached it, a batch may still grow by one turn."""
_CLOSE_SECONDS: Final = 1.0
LONGEST_END: Final = 3 * _CLOSE_SECONDS
"""So many seconds after `shutdown_timeout` a worker has ended, unless its transport blocks."""
_STOPPED: Final = "the host stopped before Weir confirmed"


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


class Worker:
    """One run of the thread: an event loop that takes batch after batch to Weir."""

    def __init__(
        self,
        transport: Transport,
        options: DeliveryOptions,
        waiting: deque[Message | Observation],
        tally: Tally,
        ended: Callable[["Worker"], None],
    ) -> None:
        """`ended` is called from the thread, as the last thing before `has_ended` is set.

        Raises OSError when no file is to be had for its event loop.
        """
        self._options = options
        self._tally = tally
        self._waiting = waiting
        self._ended = ended
        self._stopping = asyncio.Event()
        self._attempts = Attempts(transport, tally, self._stopping)
        self._over = False
        self._closing = threading.Lock()
        self._closed = False
        self._awaited: dict[Future[None], str] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._popped = 0
        self._unsettled = 0
        self._loop = asyncio.SelectorEventLoop()
        self._loop.set_default_executor(_InPlace())
        self.failed = False
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

    def submit(self, message: Message, within: float) -> Future[None] | None:
        """As Delivery.deliver; None when the worker takes nothing more, since it ends."""
        with self._closing:
            if self._closed:
                return None
            future = asyncio.run_coroutine_threadsafe(
                self._deliver_one(message, within), self._loop
            )
            self._awaited[future] = message.event_id
        future.add_done_callback(lambda done: self._awaited.pop(done, None))
        return future

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except Exception:
            self.failed = True
            log.exception("the thread of weir_sdk failed; it starts again with the next event")
        finally:
            self._close()
            self._loop.close()
            self._give_up_the_rest()
            self._tally.report(time.monotonic(), finally_=True)
            self._ended(self)
            self.has_ended.set_result(None)

    def _close(self) -> None:
        with self._closing:
            self._closed = True

    def _give_up_the_rest(self) -> None:
        """Counts and answers for what a transport would not let go of."""
        if self._unsettled:
            self._drop(self._unsettled, _STOPPED, in_doubt=True)
        for future, event_id in list(self._awaited.items()):
            with contextlib.suppress(InvalidStateError):
                future.set_exception(WeirUnavailable(_STOPPED, event_id=event_id, in_doubt=True))

    async def _serve(self) -> None:
        pump = asyncio.create_task(self._pump())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({pump, stopping}, return_when=asyncio.FIRST_COMPLETED)
        deadline = time.monotonic() + self._options.shutdown_timeout
        while self._tasks and (left := deadline - time.monotonic()) > 0:
            await asyncio.wait(self._tasks, timeout=left)
        self._close()
        # What was submitted a moment ago becomes a task in this turn of the loop and begins in
        # the next; cancelled before that, it could not say so to whoever waits for it.
        for _ in range(2):
            await asyncio.sleep(0)
        self._over = True
        await self._cancel(self._tasks)
        if left_over := self._pop(len(self._waiting)):
            self._drop(len(left_over), "the host stopped before they could be sent")
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._attempts.stop()
        except Exception as error:  # noqa: BLE001 - a transport may be anybody's
            log.warning("the transport could not be stopped: %s", type(error).__name__)
        await self._cancel(asyncio.all_tasks() - {asyncio.current_task()})
        if pump.done() and not pump.cancelled():
            pump.result()

    def _note_current_task(self) -> None:
        """Closing waits for this task, as long as it may."""
        if task := asyncio.current_task():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    # Tasks of the transport's, with results of any kind.
    async def _cancel(self, tasks: Collection[asyncio.Task[Any]]) -> None:
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(list(tasks), timeout=_CLOSE_SECONDS)

    async def _pump(self) -> None:
        self._note_current_task()
        while not self._over:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._options.flush_interval)
            stopping = self._stopping.is_set()
            # What comes meanwhile waits for the next look unless it fills a batch: else a busy host
            # is never left alone, and each of the small batches costs a request.
            due = self._popped + len(self._waiting)
            while self._waiting and not self._over:
                full = len(self._waiting) >= self._options.batch_size
                if not (self._popped < due or full or self._stopping.is_set()):
                    break
                await self._attempts.wait_as_asked()
                if batch := self._take():
                    await self._deliver(batch)
            self._tally.report(time.monotonic())
            if stopping:
                return

    def _pop(self, count: int) -> list[Message | Observation]:
        with self._tally.lock:
            items = [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]
            self._tally.taken += len(items)
        self._popped += len(items)
        self._unsettled += len(items)
        return items

    def _drop(self, count: int, reason: str, *, in_doubt: bool = False) -> None:
        self._unsettled -= count
        self._tally.drop(count, reason, in_doubt=in_doubt)

    def _settle(self, count: int, outcome: Outcome) -> None:
        first = outcome.rejected[0] if outcome.rejected else None
        self._unsettled -= count
        self._tally.settle(
            sent=count - len(outcome.rejected),
            rejected=len(outcome.rejected),
            reason=None if first is None else f"{first.field}: {first.detail}"[:200],
        )

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
                    self._drop(1, f"a request could not be read ({type(error).__name__})")
                    continue
                messages.append(message)
                size += len(message.body) + 1
            # Lets the host have the interpreter, which it would get from us only after 5 ms.
            time.sleep(0)
        return messages

    async def _deliver(self, batch: list[Message]) -> None:
        try:
            outcome = await self._attempts.deliver(batch, self._options.give_up_after)
        except GaveUp as gave_up:
            self._drop(len(batch), gave_up.reason, in_doubt=gave_up.in_doubt)
        except asyncio.CancelledError:
            self._drop(len(batch), _STOPPED, in_doubt=True)
            raise
        else:
            self._settle(len(batch), outcome)

    async def _deliver_one(self, message: Message, within: float) -> None:
        self._note_current_task()
        with self._tally.lock:
            self._tally.taken += 1
        self._unsettled += 1
        try:
            outcome = await self._attempts.deliver([message], within)
        except GaveUp as gave_up:
            self._drop(1, gave_up.reason, in_doubt=gave_up.in_doubt)
            raise WeirUnavailable(
                gave_up.reason, event_id=message.event_id, in_doubt=gave_up.in_doubt
            ) from None
        except asyncio.CancelledError:
            self._drop(1, _STOPPED if self._over else "the caller left", in_doubt=True)
            if not self._over:
                raise
            # Whoever waits for this was not cancelled.
            raise WeirUnavailable(_STOPPED, event_id=message.event_id, in_doubt=True) from None
        self._settle(1, outcome)
        if outcome.rejected:
            first = outcome.rejected[0]
            raise EventRejected(field=first.field, detail=first.detail, event_id=message.event_id)
