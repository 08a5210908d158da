"""The sink's place in its consumer group: which partitions are its, a lane for each."""

import asyncio
from collections.abc import Awaitable
from time import monotonic, time
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from streams.sink.batches import position_from
from streams.sink.dead_letters import DeadLetterWriter
from streams.sink.fetching import read_slim_records
from streams.sink.known_ids import KnownIds
from streams.sink.lane import Lane, LaneParts, NotOwner
from streams.sink.records import Record
from streams.sink.rows import DESTINATIONS
from streams.sink.settings import SinkSettings
from streams.sink.store import ClickHouseStore

log = structlog.get_logger()

STOP_SECONDS: Final = 8.0
REVOKE_SECONDS: Final = 5.0
FETCH_BYTES: Final = 4_194_304
COORDINATOR_SECONDS: Final = 60.0
HANDOVER_SECONDS: Final = 60.0


class OwnedPartition:
    """A partition that the group gave to this sink."""

    def __init__(self, consumer: AIOKafkaConsumer, name: TopicPartition) -> None:
        self._consumer = consumer
        self._name = name

    async def fetch(self, *, most: int, wait: float) -> list[Record]:
        batches = await self._consumer.getmany(
            self._name, timeout_ms=int(wait * 1000), max_records=most
        )
        records: list[Record] = batches.get(self._name, [])
        return records

    def position(self) -> Awaitable[int]:
        position: Awaitable[int] = self._consumer.position(self._name)
        return position

    def go_back(self, offset: int) -> None:
        self._consumer.seek(self._name, offset)

    async def commit(self, offset: OffsetAndMetadata) -> None:
        # Without a generation the broker takes a commit for a group without members, even from
        # a sink that was frozen while another worked and left.
        if self._consumer._coordinator.generation < 0:  # noqa: SLF001 # nothing public says it
            raise NotOwner(str(self._name))
        try:
            await self._consumer.commit({self._name: offset})
        except (CommitFailedError, IllegalStateError) as error:
            raise NotOwner(str(self._name)) from error


class Sink(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka ships no types
    """Runs a lane for each partition that the group assigns, and no other."""

    def __init__(self, settings: SinkSettings) -> None:
        read_slim_records()
        self._settings = settings
        self._store = ClickHouseStore(settings, insert_timeout=settings.insert_timeout)
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.bootstrap_servers,
            group_id=settings.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            partition_assignment_strategy=(StickyPartitionAssignor,),
            session_timeout_ms=int(settings.session_timeout * 1000),
            heartbeat_interval_ms=int(settings.session_timeout * 1000 / 5),
            max_poll_interval_ms=int(settings.give_up_after * 1000),
            rebalance_timeout_ms=30_000,
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_wait_ms=100,
            isolation_level="read_committed",
        )
        self._producer = AIOKafkaProducer(
            bootstrap_servers=settings.bootstrap_servers,
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            max_request_size=4 * FETCH_BYTES,
        )
        self._admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
        self._lanes: dict[TopicPartition, tuple[Lane, asyncio.Task[None]]] = {}
        # Filters outlive a rebalance: they hold as long as nobody else went on in between,
        # which the committed offset says.
        self._known_ids: dict[TopicPartition, tuple[int, KnownIds]] = {}
        self._failure: asyncio.Future[None] | None = None
        self.assigned = asyncio.Event()

    async def connect(self) -> None:
        """Reaches Kafka. Raises aiokafka's KafkaError when it cannot; may be called again."""
        self._admin = AIOKafkaAdminClient(bootstrap_servers=self._settings.bootstrap_servers)
        try:
            await self._admin.start()
        except KafkaError:
            await self._admin.close()
            raise

    async def missing_topics(self, names: list[str]) -> list[str]:
        """Those of the registry's topics that the cluster does not have."""
        existing = set(await self._admin.list_topics())
        return [name for name in map(self._settings.topic, names) if name not in existing]

    async def start(self) -> None:
        """Joins the group; connect() comes first."""
        self._failure = asyncio.get_running_loop().create_future()
        await self._producer.start()
        await self._consumer.start()
        topics = [self._settings.topic(name) for name in DESTINATIONS]
        self._consumer.subscribe(topics=topics, listener=self)

    async def wait_failed(self) -> None:
        """Waits until a lane has failed for good, and raises what it raised."""
        if self._failure is None:
            raise AssertionError("start() comes first")
        await self._failure

    async def stop(self) -> None:
        """Ends the batches under way, within a bound, and leaves the group."""
        await self._stop_lanes(list(self._lanes), within=STOP_SECONDS)
        await self._consumer.stop()
        await self._producer.stop()
        await self._admin.close()
        await self._store.close()

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        await self._stop_lanes(list(revoked), within=REVOKE_SECONDS)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        try:
            committed = await self._committed(list(assigned))
        except KafkaError as error:
            # aiokafka would only log it, and the partitions would lie idle.
            self._fail(error)
            return
        for name in assigned:
            self._start_lane(name, committed.get(name))
        log.info("partitions assigned", count=len(assigned))
        self.assigned.set()

    async def _committed(
        self, names: list[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        if not names:
            return {}
        deadline = monotonic() + COORDINATOR_SECONDS
        while True:
            try:
                offsets: dict[
                    TopicPartition, OffsetAndMetadata
                ] = await self._admin.list_consumer_group_offsets(
                    self._settings.group, partitions=names
                )
            except KafkaError:
                # A coordinator that loads or moves answers a moment later.
                if monotonic() > deadline:
                    raise
                await asyncio.sleep(0.2)
            else:
                return offsets

    def _start_lane(self, name: TopicPartition, committed: OffsetAndMetadata | None) -> None:
        registered = name.topic.removeprefix(self._settings.topic_prefix)
        position = position_from(name, committed, now=int(time()))
        if position.new:
            log.info("a partition is new here", partition=str(name), source=str(position.source))
        kept_at, known_ids = self._known_ids.pop(name, (None, None))
        if (
            known_ids is None
            or known_ids.source != position.source
            or committed is None
            or committed.offset != kept_at
        ):
            known_ids = KnownIds(position.source, self._settings.deduplication_window, self._store)
        lane = Lane(
            position,
            LaneParts(
                partition=OwnedPartition(self._consumer, name),
                destination=DESTINATIONS[registered],
                known_ids=known_ids,
                store=self._store,
                dead_letters=DeadLetterWriter(self._producer, self._settings),
                settings=self._settings,
            ),
        )
        task = asyncio.create_task(lane.run(), name=f"lane {name.topic}:{name.partition}")
        task.add_done_callback(self._lane_ended)
        self._lanes[name] = (lane, task)

    def _lane_ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, NotOwner):
            log.info("partition went to another owner", partition=str(error))
            asyncio.get_running_loop().call_later(HANDOVER_SECONDS, self._still_ours, task)
            return
        log.error("a lane failed", lane=task.get_name(), error=str(error), exc_info=error)
        self._fail(error)

    def _still_ours(self, ended: asyncio.Task[None]) -> None:
        if any(task is ended for _, task in self._lanes.values()):
            self._fail(NotOwner(f"{ended.get_name()} was lost, and no rebalance followed"))

    def _fail(self, error: BaseException) -> None:
        if self._failure is not None and not self._failure.done():
            self._failure.set_exception(error)

    async def _stop_lanes(self, names: list[TopicPartition], *, within: float) -> None:
        stopping = {name: self._lanes.pop(name) for name in names if name in self._lanes}
        await asyncio.gather(
            *(lane.stop(within=within) for lane, _ in stopping.values()), return_exceptions=True
        )
        for _, task in stopping.values():
            task.cancel()
        await asyncio.gather(*(task for _, task in stopping.values()), return_exceptions=True)
        for name, (lane, _) in stopping.items():
            if lane.committed is not None and lane.known_ids.loaded:
                self._known_ids[name] = (lane.committed, lane.known_ids)
