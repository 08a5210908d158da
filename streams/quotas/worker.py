"""The quotas worker: a lane for each partition that the group gives it, and what watches them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from time import monotonic
from typing import Final, cast

import faust
import structlog
from aiokafka.errors import KafkaError
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.types import TP, EventT, Message, StreamT

from schemas.plans import Catalogue
from schemas.topics import QUOTA_ACCOUNTS, QUOTA_COMMANDS, REPLIES
from streams.quotas.accountant import Accountant
from streams.quotas.app import Incoming, QuotasApp
from streams.quotas.folder import instance_of, tables_of
from streams.quotas.lane import Flight, Lane
from streams.quotas.lease import Lease, LeaseOver
from streams.quotas.log_reader import LogReader
from streams.quotas.outputs import Outputs
from streams.quotas.settings import QuotasSettings
from streams.quotas.stalls import CHECK_SECONDS, Stalls
from streams.quotas.sweep import Sweep
from streams.quotas.table import AccountsTable, raw_schema
from streams.quotas.topics import Description
from streams.quotas.turns import Turns
from streams.quotas.writer import Writer

log = structlog.get_logger()

CONFIRM_SECONDS: Final = 20.0
WATCH_SECONDS: Final = 0.25
SWEEP_SECONDS: Final = 1.0
STOP_SECONDS: Final = 4.0
DRAIN_SECONDS: Final = 2.0


class NotConfirmed(Exception):
    """Kafka has not confirmed a message for too long."""


class FaustEnded(Exception):
    """Faust's part of the worker ended by itself."""


class QuotasWorker:
    """Runs the agent: `start` joins the group, `wait_failed` ends only by raising."""

    def __init__(
        self, settings: QuotasSettings, catalogue: Catalogue, topics: Mapping[str, Description]
    ) -> None:
        """`topics`: as Kafka describes them, by the registry's names."""
        commands, accounts = topics[QUOTA_COMMANDS.name], topics[QUOTA_ACCOUNTS.name]
        self._commands = settings.topic(QUOTA_COMMANDS.name)
        self._changelog = settings.topic(QUOTA_ACCOUNTS.name)
        self._lease = Lease(settings.session_timeout)
        self._writer = Writer(settings)
        self._lanes: dict[int, Lane] = {}
        self._sweeps: dict[int, Sweep] = {}
        self._reader = LogReader(settings)
        self._stalls = Stalls(self._reader, self._commands)
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watchers: list[asyncio.Task[None]] = []
        self._accountant = Accountant(
            catalogue=catalogue,
            outputs=Outputs(settings),
            topic=self._commands,
            topic_id=commands.topic_id,
            partitions=commands.partitions,
            reply_partitions=topics[REPLIES.name].partitions,
        )
        self._app = QuotasApp(
            settings,
            self._lease,
            self._commands,
            instance=instance_of(settings.folder),
            datadir=tables_of(settings.folder),
        )
        self._table = AccountsTable(
            self._app,
            changelog=self._changelog,
            partitions=accounts.partitions,
            topic_id=commands.topic_id.bytes,
            on_ready=self._open_lane,
            failed=self._fail,
        )
        self._app.tables.add(self._table)
        self._app.agent(
            self._app.topic(self._commands, schema=raw_schema(), allow_empty=True),
            name="quotas",
            concurrency=1,
        )(self._decide)
        self._app.on_partitions_revoked.connect(self._close_lanes)
        self._app.finalize()
        self._turns = Turns(self._reader, self._commands, self._app.way.begins, self._go_back)

    async def start(self) -> None:
        """Joins the group. Raises aiokafka's KafkaError when Kafka cannot be reached."""
        await self._writer.start()
        await self._app.start()
        self._watchers += [
            asyncio.create_task(self._watch_faust()),
            asyncio.create_task(self._watch()),
            asyncio.create_task(self._sweep()),
            asyncio.create_task(self._watch_stalls()),
        ]

    async def assigned(self) -> None:
        """Returns when the accounts of the first assignment are complete."""
        await self._recovery.completed.wait()

    def problems(self) -> dict[str, str]:
        """What keeps the worker from its work now: the part → a sentence. Empty: nothing."""
        if self._failure.done():
            return {"quotas": f"is ending: {self._failure.exception()}"}
        if self._lease.age > self._lease.seconds:
            return {
                "kafka": f"has answered no heartbeat for {self._lease.age:.0f} s; check "
                "KAFKA_BOOTSTRAP_SERVERS"
            }
        if not self._recovery.completed.is_set():
            return {"quotas": f"has not joined its group {self._app.conf.id} yet"}
        if self._app.rebalancing:
            left = self._recovery.active_remaining_total() if self._recovery.in_recovery else 0
            return {"quotas": f"is taking over users: {left} changes of accounts are to be read"}
        return {}

    async def wait_failed(self) -> None:
        """Raises why the worker cannot go on."""
        await self._failure

    async def stop(self) -> bool:
        """Ends what is in flight, commits it, and leaves the group; False: not in time.

        After a failure what is in flight is dropped, and decided again by whoever comes next.
        """
        for task in self._watchers:
            task.cancel()
        if self._failure.done():
            self._app.way.gives_up = True
        # Faust swallows cancellations: a timeout would wait with it.
        stopping = asyncio.create_task(self._stop())
        await asyncio.wait({stopping}, timeout=STOP_SECONDS)
        self._drop_lanes()
        return stopping.done()

    async def _stop(self) -> None:
        await self._app.stop()
        await self._reader.stop()
        await self._writer.stop()

    @property
    def _recovery(self) -> Recovery:
        return cast("TableManager", self._app.tables).recovery

    async def _decide(self, stream: StreamT[bytes]) -> None:
        events = cast("faust.Stream[bytes]", stream).noack().events()
        try:
            async for event in cast("AsyncIterator[EventT[bytes]]", events):
                lane = await self._lane_for(event.message)
                if lane is not None:
                    self._accountant.take(lane, Incoming.of(event.message), event)
                else:
                    # It comes again, here or elsewhere; Faust must not wait for it.
                    self._app.consumer.unacked.discard(event.message)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            # Faust would start the agent again, behind this event.
            self._fail(error)
            raise

    async def _lane_for(self, message: Message) -> Lane | None:
        """The lane of a command whose turn it is, once there is room; None: it comes again."""
        partition, offset = message.partition, message.offset
        lane = self._lanes.get(partition)
        if lane is None:
            return None
        await lane.room()
        if not await self._turns.has_come(partition, offset):
            return None
        if self._lanes.get(partition) is not lane:
            return None
        self._turns.take(partition, offset)
        return lane

    async def _go_back(self, partition: int, offset: int) -> None:
        await self._app.consumer.seek_wait({TP(self._commands, partition): offset})

    def _open_lane(self, partition: int, next_offset: int) -> None:
        if before := self._lanes.pop(partition, None):
            before.close()
        lane = Lane(
            partition,
            next_offset=next_offset,
            changelog=self._changelog,
            store=self._table.store,
            writer=self._writer,
            lease=self._lease,
            failed=self._fail,
        )
        self._lanes[partition] = lane
        self._turns.forget(partition)
        self._sweeps[partition] = Sweep(lane, self._table.store)
        if stale := self._table.store.take_stale(partition):
            log.warning("accounts written again", partition=partition, count=len(stale))
            lane.submit(Flight(puts=stale))

    async def _close_lanes(self, *_: object, **__: object) -> None:
        # Faust has waited for the commands; what the sweep began must not come later either.
        drained = [asyncio.ensure_future(lane.drained()) for lane in self._lanes.values()]
        if drained:
            await asyncio.wait(drained, timeout=DRAIN_SECONDS)
        for each in drained:
            each.cancel()
        self._drop_lanes()

    def _drop_lanes(self) -> None:
        for lane in self._lanes.values():
            lane.close()
        self._lanes.clear()
        self._sweeps.clear()

    async def _watch_faust(self) -> None:
        await self._app.wait_until_stopped()
        self._fail(FaustEnded(f"Faust ended: {self._app.crash_reason!r}"))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            since = [lane.oldest for lane in self._lanes.values() if lane.oldest is not None]
            if not since:
                continue
            if monotonic() - min(since) > CONFIRM_SECONDS:
                self._fail(NotConfirmed(f"Kafka has confirmed nothing for {CONFIRM_SECONDS:.0f} s"))
            try:
                self._lease.must_hold()
            except LeaseOver as error:
                self._fail(error)

    async def _watch_stalls(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                waits = self._app.rebalancing and not self._recovery.in_recovery
                self._stalls.rebalances(waits)
                if not self._app.rebalancing:
                    assigned = [
                        each.partition
                        for each in self._app.consumer.assignment()
                        if each.topic == self._commands
                    ]
                    await self._stalls.check(assigned, self._turns.read)
            except KafkaError:
                # Kafka is away, which the lease tells of.
                continue
            except Exception as error:  # noqa: BLE001, nobody else waits for this task
                self._fail(error)
                return

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                committed = self._app.monitor.tp_committed_offsets
                for partition, sweep in tuple(self._sweeps.items()):
                    sweep.step(committed.get(TP(self._commands, partition), 0))
            except Exception as error:  # noqa: BLE001, nobody else waits for this task
                self._fail(error)
                return

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)
            log.error("quotas worker fails", exc_info=error)
            self._drop_lanes()
