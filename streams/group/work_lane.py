"""A partition's messages at work: begun in the order of the log, and acknowledged in it."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from schemas.tracing import consumed
from streams.group.reading import Event
from streams.records import Record

MAX_IN_LANE: Final = 2_000
"""Messages of a partition that were read and are not done; more wait in Kafka, and hold up the
other partitions of the topic."""


class Slot:
    """One of those that bound how much is worked on; held while work costs something."""

    def __init__(self, slots: asyncio.Semaphore) -> None:
        self._slots: asyncio.Semaphore | None = slots

    def free(self) -> None:
        """Somebody else may work: what is left of this work only waits. Any number of times."""
        if self._slots is not None:
            self._slots.release()
            self._slots = None


Work = Callable[[Slot], Coroutine[object, object, None]]


def traced(name: str, topic: str, record: Record, work: Work, *, begins: bool = True) -> Work:
    """The work as a span of the trace that the message is part of; `begins`: see `consumed`."""

    async def begun(slot: Slot) -> None:
        described = {"messaging.system": "kafka", "messaging.destination.name": topic}
        with consumed(name, record.headers, described, begins=begins):
            await work(slot)

    return begun


@dataclass(slots=True, eq=False)
class _Task:
    event: Event
    record: Record
    work: Work
    came: float = field(default_factory=monotonic)
    begun: asyncio.Task[None] | None = None
    done: bool = False


class WorkLane:
    """Works on many messages of one partition at once.

    `slots` bounds how many of all lanes are worked on. A message is acknowledged when it and all
    before it are done: what is not done when the worker ends is handed over again.
    """

    def __init__(
        self,
        partition: int,
        slots: asyncio.Semaphore,
        failed: Callable[[BaseException], None],
    ) -> None:
        self.partition = partition
        self.acknowledged: Record | None = None
        self._slots = slots
        self._failed = failed
        self._tasks: deque[_Task] = deque()
        self._changed = asyncio.Event()
        self._waiting: deque[_Task] = deque()
        self._any_waiting = asyncio.Event()
        self._beginning = asyncio.create_task(self._begin())

    @property
    def is_full(self) -> bool:
        """Whether one more must wait."""
        return len(self._tasks) >= MAX_IN_LANE

    async def room(self) -> None:
        """Returns when one more may be submitted."""
        while self.is_full:
            await self._change()

    @property
    def oldest(self) -> float | None:
        """When the oldest message that is not done came, by the monotonic clock."""
        return self._tasks[0].came if self._tasks else None

    @property
    def first(self) -> Record | None:
        """The first message that is not done."""
        return self._tasks[0].record if self._tasks else None

    def submit(self, event: Event, record: Record, work: Work) -> None:
        """Begins the work as soon as there is a slot."""
        task = _Task(event, record, work)
        self._tasks.append(task)
        self._waiting.append(task)
        self._any_waiting.set()

    async def drained(self) -> None:
        """Begins nothing more; returns when what was begun is done."""
        self._beginning.cancel()
        while any(each.begun is not None and not each.done for each in self._tasks):
            await self._change()

    def close(self) -> None:
        """Drops what is not done; who waits for room sees that there is some, and no lane."""
        self._beginning.cancel()
        for each in self._tasks:
            if each.begun is not None:
                each.begun.cancel()
        self._tasks.clear()
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _begin(self) -> None:
        while True:
            await self._any_waiting.wait()
            await self._slots.acquire()
            if not self._waiting:
                self._slots.release()
                self._any_waiting.clear()
                continue
            task = self._waiting.popleft()
            slot = Slot(self._slots)
            task.begun = asyncio.create_task(self._run(task, slot))
            # Not at the end of the work: what is dropped before its first step has no end.
            task.begun.add_done_callback(lambda _, slot=slot: slot.free())  # type: ignore[misc] # bound now

    async def _run(self, task: _Task, slot: Slot) -> None:
        try:
            await task.work(slot)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._failed(error)
            raise
        task.done = True
        while self._tasks and self._tasks[0].done:
            first = self._tasks.popleft()
            first.event.ack()
            self.acknowledged = first.record
        self._changed.set()


async def drain(lanes: Iterable[WorkLane], seconds: float) -> None:
    """Returns when what the lanes have begun is done, or after so long."""
    draining = [asyncio.ensure_future(lane.drained()) for lane in lanes]
    if draining:
        await asyncio.wait(draining, timeout=seconds)
    for each in draining:
        each.cancel()
