"""One replay from the first line to the last: a thread reads and maps, tasks send.

Memory is bounded by `concurrency`: as many batches are in flight, and as many read ahead.
"""

import asyncio
import contextlib
import threading
from dataclasses import dataclass, field

from deploy.access_log.batches import Batch, Batches, Refusal, RefusalTally
from deploy.access_log.delivery import Delivery


@dataclass(slots=True)
class Confirmed:
    """What the edge has answered for so far. `bytes_read`: how far into the file that reaches."""

    accepted: int = 0
    rejected: RefusalTally = field(default_factory=RefusalTally)
    bytes_read: int = 0

    @property
    def answered(self) -> int:
        return self.accepted + self.rejected.count


@dataclass(frozen=True, slots=True)
class _End:
    error: Exception | None


class Replay:
    """Runs once."""

    def __init__(
        self, batches: Batches, delivery: Delivery, confirmed: Confirmed, *, concurrency: int
    ) -> None:
        """`confirmed` is kept up to date while `run` runs."""
        self._confirmed = confirmed
        self._batches = batches
        self._delivery = delivery
        self._concurrency = concurrency
        self._room = threading.Semaphore(concurrency)
        self._ahead: asyncio.Queue[Batch | _End] = asyncio.Queue()  # bounded by _room
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Make `run` return soon, from the thread of its event loop; sends nothing more."""
        self._stopped.set()

    async def run(self) -> bool:
        """Send the whole log; True when it came to its end, False when it was stopped.

        Raises GaveUp and NotAccepted (delivery.py) at once, and BrokenGzip and OSError (source.py)
        once everything before the break is confirmed.
        """
        loop = asyncio.get_running_loop()
        # Not a pool's thread: nobody can wake it from a read of standard input, and the
        # interpreter waits for the threads of a pool.
        threading.Thread(target=self._read, args=(loop,), name="replay-reader", daemon=True).start()
        sent = asyncio.create_task(self._send_all())
        stopped = asyncio.create_task(self._wait_for_stop())
        try:
            await asyncio.wait({sent, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not sent.done():
                return False
            error = sent.result()
            if error is not None:
                raise error
            return True
        finally:
            self._stopped.set()
            self._room.release()  # a reader that waits for room sees that it is over
            sent.cancel()
            await asyncio.gather(sent, stopped, return_exceptions=True)

    async def _wait_for_stop(self) -> Exception | None:
        await self._stopped.wait()
        return None

    async def _send_all(self) -> Exception | None:
        """Returns why reading ended early, if it did; raises why sending did."""
        senders = [asyncio.create_task(self._send()) for _ in range(self._concurrency)]
        try:
            return (await asyncio.gather(*senders))[0]
        finally:
            for sender in senders:
                sender.cancel()
            await asyncio.gather(*senders, return_exceptions=True)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        end = _End(None)
        try:
            for batch in self._batches:
                self._room.acquire()
                if self._stopped.is_set():
                    return
                self._hand_over(loop, batch)
        except Exception as error:  # noqa: BLE001 - of a thread; `run` raises it
            end = _End(error)
        self._hand_over(loop, end)

    def _hand_over(self, loop: asyncio.AbstractEventLoop, what: Batch | _End) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self._ahead.put_nowait, what)

    async def _send(self) -> Exception | None:
        while True:
            batch = await self._ahead.get()
            if isinstance(batch, _End):
                self._ahead.put_nowait(batch)  # for the other senders
                return batch.error
            self._room.release()
            rejections = await self._delivery.send(batch.events)
            confirmed = self._confirmed
            confirmed.accepted += len(batch.events) - len(rejections)
            confirmed.bytes_read = max(confirmed.bytes_read, batch.bytes_read)
            for one in rejections:
                line_number = batch.line_numbers[one.index]
                confirmed.rejected.add(Refusal(line_number, one.field, one.detail))
