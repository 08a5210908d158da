"""The sink's place in its consumer group: which partitions are its, a lane for each."""

import asyncio
import contextlib
from time import monotonic, time
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from schemas.metrics.instruments import at_scrape
from schemas.metrics.sink import STOPPED
from streams.dead_letters import DeadLetterWriter
from streams.lag import ConsumerLag, Standing
from streams.sink.batches import position_from
from streams.sink.dead_letter_rate import DeadLetterRate
from streams.sink.fetching import read_slim_records
from streams.sink.known_ids import KnownIds
from streams.sink.lane import Lane, LaneParts
from streams.sink.measures import LaneMeasures
from streams.sink.ownership import NotOwner, OwnedPartition
from streams.sink.rows import DESTINATIONS
from streams.sink.settings import SinkSettings
from streams.sink.store import ClickHouseStore

log = structlog.get_logger()

STOP_SECONDS: Final = 8.0
REVOKE_SECONDS: Final = 5.0
FETCH_BYTES: Final = 4_194_304
END_SECONDS: Final = 3.0
WATCH_SECONDS: Final = 1.0
COORDINATOR_SECONDS: Final = 60.0
HANDOVER_SECONDS: Final = 60.0
PROBE_SECONDS: Final = 2.0


class NoCoordinator(Exception):
    """The group's coordinator gave no usable answer for too long."""


class Sink(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka ships no types
    """Runs a lane for each partition that the group assigns, and no other."""

    def __init__(self, settings: SinkSettings) -> None:
        read_slim_records()
        self._settings = settings
        self._store = ClickHouseStore(settings, insert_timeout=settings.insert_timeout)
        self._making = asyncio.Lock()
        self._consumer = AIOKafkaConsumer(
            **settings.client_arguments(),
            group_id=settings.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            partition_assignment_strategy=(StickyPartitionAssignor,),
            session_timeout_ms=int(settings.session_timeout * 1000),
            heartbeat_interval_ms=int(settings.session_timeout * 1000 / 5),
            # Lanes bound themselves; a consumer that left for idleness never comes back when
            # no lane is there to fetch.
            max_poll_interval_ms=2**31 - 1,
            rebalance_timeout_ms=30_000,
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_wait_ms=100,
            isolation_level="read_committed",
        )
        self._producer = AIOKafkaProducer(
            **settings.client_arguments(),
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            max_request_size=4 * FETCH_BYTES,
        )
        self._admin: AIOKafkaAdminClient | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._lanes: dict[TopicPartition, tuple[Lane, asyncio.Task[None]]] = {}
        # Filters outlive a rebalance: they hold as long as nobody else went on in between,
        # which the committed offset says.
        self._known_ids: dict[TopicPartition, tuple[int, KnownIds]] = {}
        # Of a topic, not of a lane: what has stopped stays so when partitions come and go.
        self._rates = {
            name: DeadLetterRate(name, settings.dead_letters_per_minute) for name in DESTINATIONS
        }
        self._failure: asyncio.Future[None] | None = None
        self.lag = ConsumerLag(self._standings, self._consumer.end_offsets)
        at_scrape(STOPPED, self._stopped)
        self.assigned = asyncio.Event()

    async def connect(self) -> None:
        """Reaches both servers. Raises KafkaError, Retryable or Overloaded; may be called again."""
        if self._admin is None:
            admin = AIOKafkaAdminClient(**self._settings.client_arguments())
            try:
                await admin.start()
            except KafkaError:
                await admin.close()
                raise
            self._admin = admin
        await self._store.learn_shards()

    async def start(self) -> None:
        """Joins the group; connect() comes first. Raises aiokafka's KafkaError."""
        self._failure = asyncio.get_running_loop().create_future()
        await self._producer.start()
        await self._consumer.start()
        topics = [self._settings.topic(name) for name in DESTINATIONS]
        self._consumer.subscribe(topics=topics, listener=self)
        self._watcher = asyncio.create_task(self._watch())

    async def problems(self) -> dict[str, str]:
        """What keeps the sink from its work now: the part → a sentence. Empty when nothing does."""
        found = {}
        if self._failure is None or not self.assigned.is_set():
            return {"sink": f"has not joined its group {self._settings.group} yet"}
        if self._failure.done():
            found["sink"] = f"is ending: {self._failure.exception()}"
        if kafka := await self._kafka_problem():
            found["kafka"] = kafka
        if clickhouse := await self._store.problem():
            found["clickhouse"] = clickhouse
        for name, rate in self._rates.items():
            if rate.stopped is not None:
                found[name] = str(rate.stopped)
        return found

    async def _kafka_problem(self) -> str | None:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self._producer.client.fetch_all_metadata()
        except (KafkaError, OSError):
            return f"Kafka at {self._settings.bootstrap_servers} does not answer"
        # aiokafka has no public word for it; -1 is no generation.
        if self._consumer._coordinator.generation < 0:  # noqa: SLF001
            return f"the sink is not a member of its group {self._settings.group} now"
        return None

    async def wait_failed(self) -> None:
        """Waits until the sink cannot go on, and raises why."""
        if self._failure is None:
            raise AssertionError("start() comes first")
        await self._failure

    async def stop(self) -> None:
        """Ends the batches under way, within a bound, and leaves the group."""
        if self._watcher is not None:
            self._watcher.cancel()
        await self._stop_lanes(list(self._lanes), within=STOP_SECONDS)
        ends = [self._consumer.stop, self._producer.stop, self._store.close]
        if self._admin is not None:
            ends.append(self._admin.close)
        for end in ends:
            # With Kafka away some of them wait for it; all that is to be kept is kept already.
            with contextlib.suppress(TimeoutError, KafkaError):
                async with asyncio.timeout(END_SECONDS):
                    await end()

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        await self._stop_lanes(list(revoked), within=REVOKE_SECONDS)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        try:
            committed = await self._committed(list(assigned))
            for name in assigned:
                self._start_lane(name, committed[name])
        except Exception as error:  # noqa: BLE001 # aiokafka would log it and leave them idle
            self._fail(error)
            return
        log.info("partitions assigned", count=len(assigned))
        self.assigned.set()

    async def _committed(
        self, names: list[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """The group's offset of each, -1 where there is none.

        An answer without a partition is none: aiokafka passes over the error of a coordinator
        that is loading or has moved.
        """
        if not names:
            return {}
        deadline = monotonic() + COORDINATOR_SECONDS
        while True:
            with contextlib.suppress(KafkaError):
                offsets: dict[
                    TopicPartition, OffsetAndMetadata
                ] = await self._connected().list_consumer_group_offsets(
                    self._settings.group, partitions=names
                )
                if offsets.keys() >= set(names):
                    return offsets
            if monotonic() > deadline:
                raise NoCoordinator("Kafka did not say what the group has committed")
            await asyncio.sleep(0.2)

    def _connected(self) -> AIOKafkaAdminClient:
        if self._admin is None:
            raise AssertionError("start() comes first")
        return self._admin

    def _start_lane(self, name: TopicPartition, committed: OffsetAndMetadata) -> None:
        registered = name.topic.removeprefix(self._settings.topic_prefix)
        position = position_from(name, committed, now=int(time()))
        if position.new:
            log.info("a partition is new here", partition=str(name), source=str(position.source))
        kept_at, known_ids = self._known_ids.pop(name, (None, None))
        if known_ids is None or known_ids.source != position.source or committed.offset != kept_at:
            known_ids = KnownIds(position.source, self._settings.deduplication_window, self._store)
        lane = Lane(
            position,
            LaneParts(
                partition=OwnedPartition(
                    self._consumer,
                    name,
                    begin=committed.offset if committed.offset >= 0 else None,
                    patience=self._settings.give_up_after,
                ),
                destination=DESTINATIONS[registered],
                known_ids=known_ids,
                measures=LaneMeasures(
                    name,
                    DESTINATIONS[registered].table,
                    committed.offset if committed.offset >= 0 else None,
                ),
                store=self._store,
                making=self._making,
                dead_letters=DeadLetterWriter(
                    self._producer, self._settings, timeout=self._settings.insert_timeout
                ),
                rate=self._rates[registered],
                settings=self._settings,
                shard=self._store.shard_of(name.partition),
            ),
        )
        task = asyncio.create_task(lane.run(), name=f"lane {name.topic}:{name.partition}")
        task.add_done_callback(self._lane_ended)
        self._lanes[name] = (lane, task)

    def _standings(self) -> list[Standing]:
        found = (lane.measures.standing() for lane, _ in self._lanes.values())
        return [each for each in found if each is not None]

    def _stopped(self) -> dict[tuple[str, ...], float]:
        return {(name,): float(rate.stopped is not None) for name, rate in self._rates.items()}

    def _lane_ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            # Lanes that are stopped are taken out first.
            self._still_ours(task)
            return
        if (error := task.exception()) is None:
            return
        if isinstance(error, NotOwner):
            log.info("partition went to another owner", partition=str(error))
            asyncio.get_running_loop().call_later(HANDOVER_SECONDS, self._still_ours, task)
            return
        log.error("a lane failed", lane=task.get_name(), error=str(error), exc_info=error)
        self._fail(error)

    def _still_ours(self, ended: asyncio.Task[None]) -> None:
        if any(task is ended for _, task in self._lanes.values()):
            self._fail(NotOwner(f"{ended.get_name()} ended, and no rebalance followed"))

    async def _watch(self) -> None:
        """Fails the sink when aiokafka's own tasks have failed, which nobody else would see."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                self._consumer._coordinator.check_errors()  # noqa: SLF001 # getmany's own check
            except KafkaError as error:
                self._fail(error)
            if self._consumer._fetcher._fetch_task.done():  # noqa: SLF001
                self._fail(RuntimeError("aiokafka stopped fetching"))

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
