"""A worker's membership: joins its group, watches it, fails as a whole, leaves in time."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, cast

import structlog
from aiokafka.errors import KafkaError
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery

from streams.group.app import GroupApp
from streams.group.lease import Lease, LeaseOver
from streams.group.reading import Reading
from streams.group.stalls import CHECK_SECONDS

log = structlog.get_logger()

WATCH_SECONDS: Final = 0.25


class FaustEnded(Exception):
    """Faust's part of the worker ended by itself."""


class Stoppable(Protocol):
    """A connection of the worker's."""

    async def stop(self) -> None:
        """Ends it."""


class Member:
    """Any part of the worker may `fail`, which ends it; `wait_failed` says why."""

    def __init__(self, name: str, app: GroupApp, lease: Lease, dropped: Callable[[], None]) -> None:
        """`name` of the worker, for what is said; `dropped`: gives up what is in flight."""
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._name = name
        self._app = app
        self._lease = lease
        self._dropped = dropped
        # Lanes differ from topic to topic, and are not touched here.
        self._readings: Sequence[Reading[Any]] = ()
        self._watchers: list[asyncio.Task[None]] = []

    async def start(self, readings: Sequence[Reading[Any]]) -> None:
        """Joins the group. Raises aiokafka's KafkaError when Kafka cannot be reached."""
        self._readings = readings
        await self._app.start()
        self._watchers += [
            asyncio.create_task(each) for each in (self._watch_faust(), self._watch_stalls())
        ]

    async def leave(self, within: float, *connections: Stoppable) -> bool:
        """Commits what is done, leaves the group, and stops the connections, in this order.

        What is in flight after `within` seconds is dropped. False: not all was done by then.
        """
        # Faust swallows cancellations: a timeout would wait with it.
        leaving = asyncio.create_task(self._leave(connections))
        await asyncio.wait({leaving}, timeout=within)
        self._dropped()
        return leaving.done()

    async def _leave(self, connections: Sequence[Stoppable]) -> None:
        for task in self._watchers:
            task.cancel()
        if self.failure.done():
            self._app.way.gives_up = True
        await self._app.stop()
        for each in connections:
            await each.stop()

    async def assigned(self) -> None:
        """Returns when the first assignment is complete."""
        await self._recovery.completed.wait()

    def fail(self, error: BaseException) -> None:
        """The worker ends; what is in flight is dropped."""
        if not self.failure.done():
            self.failure.set_exception(error)
            log.error("worker fails", worker=self._name, exc_info=error)
            self._dropped()

    def must_hold(self) -> None:
        """Fails the worker when others may own its partitions."""
        try:
            self._lease.must_hold()
        except LeaseOver as error:
            self.fail(error)

    def problems(self) -> dict[str, str]:
        """What keeps the worker from its work now: the part → a sentence. Empty: nothing."""
        if self.failure.done():
            return {self._name: f"is ending: {self.failure.exception()}"}
        if self._lease.age > self._lease.seconds:
            return {
                "kafka": f"has answered no heartbeat for {self._lease.age:.0f} s; check "
                "KAFKA_BOOTSTRAP_SERVERS"
            }
        if not self._recovery.completed.is_set():
            return {self._name: f"has not joined its group {self._app.conf.id} yet"}
        if self._app.rebalancing:
            left = self.remaining_changes()
            return {self._name: f"is taking over users: {left} changes of the table are to be read"}
        return {}

    def remaining_changes(self) -> int:
        """Changes of the tables that are to be read before messages are taken; 0: all are there."""
        return self._recovery.active_remaining_total() if self._recovery.in_recovery else 0

    @property
    def _recovery(self) -> Recovery:
        return cast("TableManager", self._app.tables).recovery

    async def _watch_faust(self) -> None:
        await self._app.wait_until_stopped()
        self.fail(FaustEnded(f"Faust ended: {self._app.crash_reason!r}"))

    async def _watch_stalls(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            rebalancing = self._app.rebalancing
            waits = rebalancing and not self._recovery.in_recovery
            try:
                for reading in self._readings:
                    assigned = None if rebalancing else self._app.consumer.assignment()
                    await reading.check(assigned, waits=waits)
            except KafkaError:
                # Kafka is away, which the lease tells of.
                continue
            except Exception as error:  # noqa: BLE001, nobody else waits for this task
                self.fail(error)
                return
