"""Follows topics for ever without a group: reads from a start, and goes on after every break."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import Final, Literal, Self, TypeAlias

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from schemas.lenient_records import read_lenient_records
from schemas.servers import KafkaSettings

log = structlog.get_logger()

Record: TypeAlias = "ConsumerRecord[bytes | None, bytes | None]"
Start: TypeAlias = Literal["beginning", "end"] | datetime
"""Where reading starts: at the oldest message, behind the newest, or at the first since then."""

RECONNECT_SECONDS: Final = (0.1, 0.2, 0.5, 1.0)
CONNECT_SECONDS: Final = 10.0
STOP_SECONDS: Final = 0.5
REQUEST_SECONDS: Final = 3.0
"""An answer of Kafka's that takes longer is not waited for: its connection hangs."""
LOOK_SECONDS: Final = 1.0
"""How often Kafka is asked whether it has what did not come, or less than was read."""
_FETCH_SECONDS: Final = 0.5
"""How long a fetch waits for the first message; it is answered as soon as there is one."""
_TURN_SECONDS: Final = 0.25
_AT_ONCE: Final = 500
"""Messages that are taken before others on this event loop have a turn."""

# uvloop raises a RuntimeError for a write to a connection that the peer reset a moment ago.
_CONSUMER_ERRORS: Final = (KafkaError, OSError, RuntimeError)


class _Behind(Exception):
    """Kafka has messages that do not come."""


class _MadeAnew(Exception):
    """A topic ends before what was read of it: it is another one."""


class _TopicMissing(Exception):
    """A topic is not on the cluster, or not with its partition."""


class TopicFollower:
    """Hands every message of the topics to `take`, in order within each partition, for ever.

    `partition`: a number, every one ("all"), or one that is chosen by chance and kept ("any").
    `take` must not raise; what it cannot use it passes over.

    After a break it goes on where it was, so that nothing is taken twice; of a topic that was made
    anew it takes all. With `anew` it starts again instead at each connection: `began` is called
    then, before the first message. `caught_up` is called at each connection once all that was there
    when it was made has been taken.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topics: Sequence[str],
        take: Callable[[Record], None],
        *,
        start: Start,
        partition: int | Literal["all", "any"] = "all",
        anew: bool = False,
        began: Callable[[], None] = lambda: None,
        caught_up: Callable[[], None] = lambda: None,
        patience: float = REQUEST_SECONDS,
    ) -> None:
        """`topics`: their names in the registry. `patience`: seconds that an answer may take."""
        read_lenient_records()
        self._settings = settings
        self._kafka = f"Kafka at {settings.bootstrap_servers}"
        self._topics = tuple(settings.topic(name) for name in topics)
        self._take = take
        self._start = start
        self._partition = partition
        self._anew = anew
        self._began = began
        self._caught_up = caught_up
        self._patience = patience
        self._positions: dict[TopicPartition, int] = {}
        self._started = False
        self._problem: str | None = "not read yet"
        self._checked_at = float("-inf")
        self._idle = False
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._reader = asyncio.create_task(self._read_for_ever())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    @property
    def partition(self) -> int | None:
        """The one partition that is read; None while none is chosen, or when all are read."""
        return self._partition if isinstance(self._partition, int) else None

    @property
    def started(self) -> bool:
        """Whether it was connected once: what is written from then on is taken sooner or later."""
        return self._started

    @property
    def checked_at(self) -> float:
        """When (monotonic) it last had all there was; Kafka is asked every LOOK_SECONDS."""
        return self._checked_at

    def problem(self) -> str | None:
        """Why nothing comes now, or not yet all that there was, or None."""
        if self._reader is not None and self._reader.done():
            return "reading ended by an error; restart this process"
        return self._problem

    async def _read_for_ever(self) -> None:
        attempt = 0
        while True:
            try:
                await self._read()
            except _CONSUMER_ERRORS as error:
                reason = f"{self._kafka} cannot be reached: {type(error).__name__}"
            except (_Behind, _MadeAnew, _TopicMissing) as error:
                reason = str(error)
            except asyncio.CancelledError:
                # aiokafka lets cancellations of its own tasks through, as if they were ours.
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                reason = f"{self._kafka} cannot be reached"
            except Exception:
                log.exception("topics are not read any more", topics=self._topics)
                raise
            if self._problem is None:
                log.warning("topics are connected to again", topics=self._topics, reason=reason)
                attempt = 0
            self._problem = reason
            await asyncio.sleep(RECONNECT_SECONDS[min(attempt, len(RECONNECT_SECONDS) - 1)])
            attempt += 1

    async def _read(self) -> None:
        """Reads from where reading ended; returns never. Raises what ends it."""
        consumer = AIOKafkaConsumer(
            **self._settings.client_arguments(),
            group_id=None,
            enable_auto_commit=False,
            # Where it stood is gone: the topic was made anew, or Kafka was away for longer than it
            # keeps messages. What there is, is newer.
            auto_offset_reset="none" if self._anew else "earliest",
            request_timeout_ms=int(1000 * REQUEST_SECONDS),
            retry_backoff_ms=100,
            fetch_min_bytes=1,
            fetch_max_wait_ms=int(1000 * _FETCH_SECONDS),
        )
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await consumer.start()
                partitions = await self._partitions(consumer)
                ends = await consumer.end_offsets(partitions)
                await self._find_positions(consumer, partitions, ends)
                consumer.assign(partitions)
                for partition in partitions:
                    consumer.seek(partition, self._positions[partition])
            if self._anew:
                self._began()
            self._started = True
            await self._follow(consumer, ends)
        finally:
            await _stop(consumer)

    async def _partitions(self, consumer: AIOKafkaConsumer) -> list[TopicPartition]:
        # partitions_for_topic() knows only topics that are read already.
        metadata = await consumer._client.fetch_all_metadata()  # noqa: SLF001
        found: list[TopicPartition] = []
        for topic in self._topics:
            numbers = metadata.partitions_for_topic(topic)
            if not numbers:
                raise _TopicMissing(f"topic {topic} does not exist; run `weir topics`")
            if self._partition == "any":
                self._partition = random.choice(sorted(numbers))  # noqa: S311
            if self._partition == "all":
                found += (TopicPartition(topic, number) for number in sorted(numbers))
            elif self._partition in numbers:
                found.append(TopicPartition(topic, self._partition))
            else:
                raise _TopicMissing(
                    f"topic {topic} has no partition {self._partition} any more; "
                    "restart this process"
                )
        return found

    async def _find_positions(
        self,
        consumer: AIOKafkaConsumer,
        partitions: Sequence[TopicPartition],
        ends: Mapping[TopicPartition, int],
    ) -> None:
        """Adds the positions of partitions that are not read yet; with `anew`, of all."""
        new = [each for each in partitions if self._anew or each not in self._positions]
        if not new:
            return
        # A partition that was added while others were read is read whole.
        start = "beginning" if self._started and not self._anew else self._start
        if start == "end":
            positions = {each: ends[each] for each in new}
        elif start == "beginning":
            positions = await consumer.beginning_offsets(new)
        else:
            moment = int(start.timestamp() * 1000)
            first = await consumer.offsets_for_times(dict.fromkeys(new, moment))
            # What came after the ends were asked for may be the first.
            positions = {
                each: ends[each] if (found := first[each]) is None else found.offset for each in new
            }
        self._positions.update(positions)

    async def _follow(self, consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> None:
        due, stood = ends, dict[TopicPartition, int]()
        whole = False
        asked_at, asked_from = monotonic(), dict[TopicPartition, int]()
        asking: asyncio.Task[dict[TopicPartition, int]] | None = None
        try:
            while True:
                if not whole and all(self._positions[each] >= due[each] for each in due):
                    whole = True
                    self._problem, self._checked_at = None, monotonic()
                    self._caught_up()
                if asking is None and monotonic() - asked_at > LOOK_SECONDS:
                    self._notice_new_partitions(consumer, due)
                    asked_at, asked_from = (
                        monotonic(),
                        {each: self._positions[each] for each in due},
                    )
                    # Not awaited: the answer comes behind that of a fetch on the same connection.
                    asking = asyncio.create_task(self._ends(consumer, list(due)))
                elif asking is not None and asking.done():
                    ends, asking = asking.result(), None
                    self._notice_made_anew(asked_from, ends)
                    self._notice_behind(due, stood)
                    stood, self._idle = {each: self._positions[each] for each in due}, False
                    if whole:
                        due, self._checked_at = ends, asked_at
                await self._take_what_comes(consumer, list(due))
        finally:
            if asking is not None:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)

    async def _take_what_comes(
        self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
    ) -> None:
        fetched = await consumer.getmany(timeout_ms=int(1000 * _TURN_SECONDS), max_records=_AT_ONCE)
        self._idle |= not fetched
        for records in fetched.values():
            for record in records:
                self._take(record)
        async with asyncio.timeout(self._patience):
            for partition in partitions:
                # Behind what is not handed out too: the end of a transaction.
                self._positions[partition] = await consumer.position(partition)
        await asyncio.sleep(0)

    async def _ends(
        self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, int]:
        async with asyncio.timeout(self._patience):
            ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
            return ends

    def _notice_behind(
        self, due: Mapping[TopicPartition, int], stood: Mapping[TopicPartition, int]
    ) -> None:
        """Raises _Behind when a partition stood still since the last look though it has more.

        Not when others kept the reader from it all the time.
        """
        if self._idle and any(
            self._positions[each] == position < due[each] for each, position in stood.items()
        ):
            raise _Behind(f"Kafka at {self._settings.bootstrap_servers} does not send what it has")

    def _notice_made_anew(
        self, positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
    ) -> None:
        """Raises _MadeAnew when less is there than was read, and forgets what was read of it."""
        shorter = {each.topic for each, position in positions.items() if position > ends[each]}
        if shorter:
            for partition in [each for each in self._positions if each.topic in shorter]:
                self._positions[partition] = 0
            raise _MadeAnew(f"topic {', '.join(sorted(shorter))} was made anew")

    def _notice_new_partitions(
        self, consumer: AIOKafkaConsumer, read: Mapping[TopicPartition, int]
    ) -> None:
        """Raises _MadeAnew when a topic has partitions that are not read."""
        if self._partition != "all":
            return
        for topic in self._topics:
            for number in consumer.partitions_for_topic(topic) or ():
                if TopicPartition(topic, number) not in read:
                    raise _MadeAnew(f"topic {topic} has more partitions than before")


async def _stop(consumer: AIOKafkaConsumer) -> None:
    # Its client too: a fetch that stop() cancels while it waits to try again ends stop() early.
    for end in (consumer.stop, consumer._client.close):  # noqa: SLF001
        await asyncio.gather(asyncio.wait_for(end(), STOP_SECONDS), return_exceptions=True)
