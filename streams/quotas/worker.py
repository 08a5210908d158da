"""The quotas worker: a lane for each partition that the group gives it, and what watches them."""

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Final

import structlog
from faust.types import TP

from schemas.metrics.consumers import RECOVERY
from schemas.metrics.instruments import at_scrape, histogram
from schemas.metrics.quotas import DECISION_DURATION
from schemas.plans import Catalogue
from schemas.topics import QUOTA_ACCOUNTS, QUOTA_COMMANDS, REPLIES
from streams.group.app import GroupApp, Membership
from streams.group.folder import instance_of
from streams.group.lease import Lease
from streams.group.log_reader import LogReader
from streams.group.member import WATCH_SECONDS, Member
from streams.group.reading import Event, Reading
from streams.group.sweep import Sweep, sweep_for_ever
from streams.group.table import KeyedTable
from streams.group.table_folder import tables_of
from streams.group.table_lane import Flight, TableLane
from streams.group.topics import Description
from streams.lag import ConsumerLag
from streams.quotas.accountant import Accountant
from streams.quotas.outputs import Outputs
from streams.quotas.settings import QuotasSettings
from streams.quotas.stored import kept_until
from streams.records import Record
from streams.writer import Writer

log = structlog.get_logger()

CONFIRM_SECONDS: Final = 20.0
STOP_SECONDS: Final = 4.0
DRAIN_SECONDS: Final = 2.0


class NotConfirmed(Exception):
    """Kafka has not confirmed a message for too long."""


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
        self._sweeps: dict[int, Sweep] = {}
        self._log = LogReader(settings)
        self._watchers: list[asyncio.Task[None]] = []
        self._accountant = Accountant(
            catalogue=catalogue,
            outputs=Outputs(settings),
            topic=self._commands,
            topic_id=commands.topic_id,
            partitions=commands.partitions,
            reply_partitions=topics[REPLIES.name].partitions,
        )
        membership = Membership(
            settings,
            settings.group,
            instance_of(settings.folder),
            tables_of(settings.folder),
            session_timeout=settings.session_timeout,
            revoke_timeout=2 * settings.session_timeout,
            standby_replicas=settings.standby_replicas,
        )
        self._app = GroupApp(membership, self._lease, [self._commands])
        self._member = Member("quotas", self._app, self._lease, self._drop_lanes)
        self._table = KeyedTable(
            self._app,
            "accounts",
            changelog=self._changelog,
            partitions=accounts.partitions,
            topic_id=commands.topic_id.bytes,
            on_ready=self._open_lane,
            failed=self._member.fail,
        )
        self._app.tables.add(self._table)
        self._reading: Reading[TableLane] = Reading(
            self._app,
            self._log,
            self._commands,
            agent="quotas",
            take=self._take,
            failed=self._member.fail,
        )
        self.lag = ConsumerLag(self._reading.standings, self._log.ends_of)
        at_scrape(RECOVERY, lambda: {(): self.remaining_changes()})
        self._app.on_partitions_revoked.connect(self._close_lanes)
        self._app.finalize()

    async def start(self) -> None:
        """Joins the group. Raises aiokafka's KafkaError when Kafka cannot be reached."""
        await self._writer.start()
        await self._member.start([self._reading])
        self._watchers += [
            asyncio.create_task(self._watch()),
            asyncio.create_task(sweep_for_ever(self._sweeps, self._committed, self._member.fail)),
        ]

    async def assigned(self) -> None:
        """Returns when the accounts of the first assignment are complete."""
        await self._member.assigned()

    def remaining_changes(self) -> int:
        """Changes of its tables that are to be read before it takes messages; 0: all are there."""
        return self._member.remaining_changes()

    def problems(self) -> dict[str, str]:
        """What keeps the worker from its work now: the part → a sentence. Empty: nothing."""
        return self._member.problems()

    async def wait_failed(self) -> None:
        """Raises why the worker cannot go on."""
        await self._member.failure

    async def stop(self) -> bool:
        """Ends what is in flight, commits it, and leaves the group; False: not in time.

        After a failure what is in flight is dropped, and decided again by whoever comes next.
        """
        for task in self._watchers:
            task.cancel()
        return await self._member.leave(STOP_SECONDS, self._log, self._writer)

    def _take(self, lane: TableLane, record: Record, event: Event) -> None:
        self._accountant.take(lane, record, event)

    def _open_lane(self, partition: int, next_offset: int) -> None:
        if before := self._reading.close(partition):
            before.close()
        lane = TableLane(
            partition,
            next_offset=next_offset,
            changelog=self._changelog,
            store=self._table.store,
            writer=self._writer,
            lease=self._lease,
            failed=self._member.fail,
            finished=histogram(DECISION_DURATION).observe,
        )
        self._reading.open(partition, lane)
        self._sweeps[partition] = Sweep(
            lane, self._table.store, kept_until, lambda: lane.acknowledged
        )
        if stale := self._table.store.take_stale(partition):
            log.warning("accounts written again", partition=partition, count=len(stale))
            lane.submit(Flight(puts=stale))

    async def _close_lanes(self, *_: object, **__: object) -> None:
        # Faust has waited for the commands; what the sweep began must not come later either.
        drained = [asyncio.ensure_future(lane.drained()) for lane in self._reading.lanes.values()]
        if drained:
            await asyncio.wait(drained, timeout=DRAIN_SECONDS)
        for each in drained:
            each.cancel()
        self._drop_lanes()

    def _drop_lanes(self) -> None:
        for lane in self._reading.lanes.values():
            lane.close()
        self._reading.lanes.clear()
        self._sweeps.clear()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            since = [
                lane.oldest for lane in self._reading.lanes.values() if lane.oldest is not None
            ]
            if not since:
                continue
            if monotonic() - min(since) > CONFIRM_SECONDS:
                self._member.fail(
                    NotConfirmed(f"Kafka has confirmed nothing for {CONFIRM_SECONDS:.0f} s")
                )
            self._member.must_hold()

    def _committed(self, partition: int) -> int:
        return self._app.monitor.tp_committed_offsets.get(TP(self._commands, partition), 0)
