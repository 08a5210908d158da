"""The billing worker: one agent meters events, one reports use, one acts on Stripe's events."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from itertools import chain
from time import monotonic
from typing import Final

from aiokafka.structs import TopicPartition
from faust.types import TP

from schemas.meters import Meters
from schemas.metrics.billing import OLDEST_USE, STRIPE_PROBLEM
from schemas.metrics.consumers import RECOVERY
from schemas.metrics.instruments import at_scrape
from schemas.plans import Catalogue
from schemas.topics import STRIPE_EVENTS, USAGE_COMMANDS, USAGE_LEDGER, Topic
from streams.billing.account import StripeAccount
from streams.billing.calling import Calling, Clock
from streams.billing.customers import Customers
from streams.billing.ledger import Ledger
from streams.billing.meter import Meter
from streams.billing.outputs import Outputs
from streams.billing.reporter import Reporter
from streams.billing.reports import kept_until
from streams.billing.settings import BillingSettings
from streams.billing.topics import metered
from streams.group.app import GroupApp, Membership
from streams.group.folder import instance_of
from streams.group.lease import Lease
from streams.group.log_reader import LogReader
from streams.group.member import WATCH_SECONDS, Member
from streams.group.reading import Event, Reading
from streams.group.sweep import Sweep, sweep_for_ever
from streams.group.table import KeyedTable
from streams.group.table_folder import tables_of
from streams.group.table_lane import TableLane
from streams.group.topics import Description
from streams.group.work_lane import MAX_IN_LANE, Slot, Work, WorkLane, drain, traced
from streams.lag import ConsumerLag
from streams.records import Record
from streams.writer import Writer

STRIPE_EVENTS_AT_ONCE: Final = 20
STOP_SECONDS: Final = 4.0
FINISH_SECONDS: Final = 2.5
REVOKE_SECONDS: Final = 20.0
REBALANCE_SECONDS: Final = 30.0
TOO_LONG_SECONDS: Final = 900.0
"""Use that waits for longer makes the worker not ready: it holds up all that came behind it."""

Acting = Callable[[TopicPartition, Record], Coroutine[object, object, None]]
"""What is done about a message; all of it is on Kafka when it returns."""


class BillingWorker:
    """Runs the agents: `start` joins the group, `wait_failed` ends only by raising."""

    def __init__(
        self,
        settings: BillingSettings,
        account: StripeAccount,
        meters: Meters,
        catalogue: Catalogue,
        topics: Mapping[str, Description],
        clock: Clock,
    ) -> None:
        """`topics`: as Kafka describes them, by the registry's names."""
        commands = topics[USAGE_COMMANDS.name]
        self._changelog = settings.topic(USAGE_LEDGER.name)
        self._lease = Lease(settings.session_timeout)
        self._writer = Writer(settings)
        self._log = LogReader(settings)
        self._patience = REVOKE_SECONDS
        self._watchers: list[asyncio.Task[None]] = []
        self._ledgers: dict[int, Ledger] = {}
        self._sweeps: dict[int, Sweep] = {}
        outputs = Outputs(settings, commands.partitions)
        self._calling = Calling(settings.in_flight, clock)
        meter = Meter(self._writer, outputs, meters)
        customers = Customers(account, self._calling, self._writer, outputs, catalogue, clock)
        events = metered(meters)
        membership = Membership(
            settings,
            settings.group,
            instance_of(settings.folder),
            tables_of(settings.folder),
            session_timeout=settings.session_timeout,
            revoke_timeout=REBALANCE_SECONDS,
        )
        names = [settings.topic(each.name) for each in (USAGE_COMMANDS, STRIPE_EVENTS, *events)]
        self._app = GroupApp(membership, self._lease, names, drains=self._drain)
        self._member = Member("billing", self._app, self._lease, self._drop_lanes)
        self._reporter = Reporter(
            account,
            self._calling,
            outputs,
            meters,
            topic=settings.topic(USAGE_COMMANDS.name),
            topic_id=commands.topic_id,
            partitions=commands.partitions,
            clock=clock,
            ledger_of=self._ledgers.__getitem__,
            failed=self._member.fail,
        )
        self._table = KeyedTable(
            self._app,
            "reports",
            changelog=self._changelog,
            partitions=topics[USAGE_LEDGER.name].partitions,
            topic_id=commands.topic_id.bytes,
            on_ready=self._open_ledger,
            failed=self._member.fail,
        )
        self._app.tables.add(self._table)
        # What bounds reports is how many calls are under way; a lane only bounds what is read.
        self._usage = self._reading(
            settings, USAGE_COMMANDS, "report_usage", "usage report", self._reporter.report_usage
        )
        self._others = {
            self._reading(
                settings,
                STRIPE_EVENTS,
                "apply_stripe_event",
                "stripe event",
                customers.apply_stripe_event,
            ): asyncio.Semaphore(STRIPE_EVENTS_AT_ONCE),
            **{
                # All events are looked at here: none of them begins a trace.
                self._reading(
                    settings,
                    each,
                    f"meter_usage_{number}",
                    "metering",
                    meter.meter_usage,
                    begins=False,
                ): asyncio.Semaphore(MAX_IN_LANE)
                for number, each in enumerate(events)
            },
        }
        self.lag = self._measure()
        self._app.on_partitions_revoked.connect(self._close_lanes)
        self._app.on_rebalance_complete.connect(self._open_lanes)
        self._app.finalize()

    def _reading(
        self,
        settings: BillingSettings,
        topic: Topic,
        agent: str,
        span: str,
        work: Acting,
        *,
        begins: bool = True,
    ) -> Reading[WorkLane]:
        """`span` names the work in traces; `begins`: also of messages that are in none."""
        name = settings.topic(topic.name)

        def take(lane: WorkLane, record: Record, event: Event) -> None:
            acting = _work(partial(work, TopicPartition(name, lane.partition), record))
            lane.submit(event, record, traced(span, name, record, acting, begins=begins))

        return Reading(self._app, self._log, name, agent=agent, take=take, failed=self._member.fail)

    async def start(self) -> None:
        """Joins the group. Raises aiokafka's KafkaError when Kafka cannot be reached."""
        await self._writer.start()
        await self._member.start([self._usage, *self._others])
        self._watchers += [
            asyncio.create_task(each)
            for each in (
                self._watch(),
                sweep_for_ever(self._sweeps, self._committed, self._member.fail),
                self._reporter.windows.run(),
            )
        ]

    async def assigned(self) -> None:
        """Returns when the ledgers of the first assignment are complete."""
        await self._member.assigned()

    def remaining_changes(self) -> int:
        """Changes of its tables that are to be read before it takes messages; 0: all are there."""
        return self._member.remaining_changes()

    def problems(self) -> dict[str, str]:
        """What keeps the worker from its work now: the part → a sentence. Empty: nothing."""
        found = self._member.problems()
        if problem := self._calling.problem():
            found["stripe"] = problem
        elif (waits := self._oldest()) > TOO_LONG_SECONDS:
            found["reports"] = (
                f"the oldest use waits for {waits / 60:.0f} minutes; "
                "the log says what Stripe answers"
            )
        return found

    def _oldest(self) -> float:
        """For how many seconds the oldest use of all has not been reported."""
        came = [lane.oldest for lane in self._usage.lanes.values() if lane.oldest is not None]
        return monotonic() - min(came) if came else 0.0

    def _measure(self) -> ConsumerLag:
        at_scrape(RECOVERY, lambda: {(): self.remaining_changes()})
        at_scrape(STRIPE_PROBLEM, lambda: {(): float(self._calling.problem() is not None)})
        at_scrape(OLDEST_USE, lambda: {(): self._oldest()})
        return ConsumerLag(
            lambda: chain.from_iterable(each.standings() for each in self._readings()),
            self._log.ends_of,
        )

    async def wait_failed(self) -> None:
        """Raises why the worker cannot go on."""
        await self._member.failure

    async def stop(self) -> bool:
        """Leaves the group; calls under way may end in a moment. False: not in time."""
        self._patience = FINISH_SECONDS
        left = await self._member.leave(STOP_SECONDS, self._log, self._writer)
        for task in self._watchers:
            task.cancel()
        return left

    def _open_ledger(self, partition: int, next_offset: int) -> None:
        self._close_ledger(partition)
        lane = TableLane(
            partition,
            next_offset=next_offset,
            changelog=self._changelog,
            store=self._table.store,
            writer=self._writer,
            lease=self._lease,
            failed=self._member.fail,
        )
        ledger = Ledger(lane, self._table.store)
        self._ledgers[partition] = ledger
        if stale := self._table.store.take_stale(partition):
            self._watchers.append(asyncio.create_task(lane.put(stale)))
        self._reporter.windows.open(ledger)
        work = WorkLane(partition, asyncio.Semaphore(MAX_IN_LANE), self._member.fail)
        self._usage.open(partition, work)
        self._sweeps[partition] = Sweep(
            lane, self._table.store, kept_until, lambda: work.acknowledged
        )

    def _close_ledger(self, partition: int) -> None:
        if before := self._usage.close(partition):
            before.close()
        self._sweeps.pop(partition, None)
        self._reporter.windows.close(partition)
        if ledger := self._ledgers.pop(partition, None):
            ledger.lane.close()

    async def _open_lanes(self, *_: object, **__: object) -> None:
        for reading, slots in self._others.items():
            _drop(reading)
            for place in self._app.consumer.assignment():
                if place.topic == reading.topic:
                    lane = WorkLane(place.partition, slots, self._member.fail)
                    reading.open(place.partition, lane)

    async def _close_lanes(self, *_: object, **__: object) -> None:
        self._drop_lanes()

    async def _drain(self) -> None:
        await drain(
            chain.from_iterable(each.lanes.values() for each in self._readings()), self._patience
        )

    def _readings(self) -> Sequence[Reading[WorkLane]]:
        return [self._usage, *self._others]

    def _drop_lanes(self) -> None:
        for reading in self._others:
            _drop(reading)
        for partition in tuple(self._ledgers):
            self._close_ledger(partition)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if any(each.lanes for each in self._readings()):
                self._member.must_hold()

    def _committed(self, partition: int) -> int:
        return self._app.monitor.tp_committed_offsets.get(TP(self._usage.topic, partition), 0)


def _work(work: Callable[[], Coroutine[object, object, None]]) -> Work:
    async def begun(_: Slot) -> None:
        await work()

    return begun


def _drop(reading: Reading[WorkLane]) -> None:
    for lane in reading.lanes.values():
        lane.close()
    reading.lanes.clear()
