"""One partition's way into ClickHouse: gather, note, insert, go on."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic
from typing import Final, Protocol, TypeVar

import structlog
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from streams.failures import Invalid, Overloaded, Retryable
from streams.records import Record
from streams.sink.batches import Batch, Position, Span, reached
from streams.sink.dead_letter_rate import DeadLetterRate
from streams.sink.known_ids import KnownIds
from streams.sink.measures import LaneMeasures
from streams.sink.ownership import LogWentBack, NotOwner
from streams.sink.records import Made, Row
from streams.sink.rows import CHUNK, Destination, encode_rows
from streams.sink.settings import SinkSettings
from streams.sink.traces import storing

log = structlog.get_logger()

IDLE_SECONDS: Final = 1.0
FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 5.0
NOTE_GOOD_FOR: Final = 30.0
"""After so many seconds an insert notes its batch again first: ours may be another's by now."""

_Result = TypeVar("_Result")


class Partition(Protocol):
    """The partition in Kafka, as its owner in the group sees it."""

    async def fetch(self, *, most: int, wait: float) -> list[Record]:
        """The next records, at most so many, waiting so many seconds for the first."""

    def position(self) -> Awaitable[int]:
        """The offset of the next record to fetch."""

    def go_back(self, offset: int) -> None:
        """The next record to fetch is the one at this offset."""

    async def commit(self, offset: OffsetAndMetadata) -> None:
        """Raises NotOwner when the partition has another owner."""

    async def forget(self) -> None:
        """Lets whoever comes next begin a new incarnation."""


class Store(Protocol):
    async def insert(
        self, table: str, columns: Sequence[str], rows: bytes, token: str, shard: int
    ) -> None:
        """Raises Retryable or Overloaded."""


class DeadLetters(Protocol):
    async def write(
        self, partition: TopicPartition, invalid: Sequence[tuple[Record, Invalid]]
    ) -> None:
        """Raises Retryable."""


class GaveUp(Exception):
    """A batch could not be stored for longer than `give_up_after`."""


@dataclass(frozen=True, slots=True)
class LaneParts:
    """What a lane works with."""

    partition: Partition
    destination: Destination
    known_ids: KnownIds
    measures: LaneMeasures
    store: Store
    dead_letters: DeadLetters
    making: asyncio.Lock
    rate: DeadLetterRate
    settings: SinkSettings
    shard: int = 0
    """Where new batches go: as of a Span."""


class Lane:
    """Takes one partition's records to ClickHouse, batch by batch, until it is stopped."""

    def __init__(self, position: Position, parts: LaneParts) -> None:
        self._position = position
        self._source = position.source
        self._name = position.source.partition
        self._parts = parts
        self.measures = parts.measures
        self._stopping = False
        self._ended = asyncio.Event()
        self._storing = asyncio.Lock()
        self._noted_at = 0.0
        self._stored_to: int | None = None
        self.committed: int | None = None

    @property
    def known_ids(self) -> KnownIds:
        return self._parts.known_ids

    async def run(self) -> None:
        """Works until cancelled or stopped.

        Raises NotOwner, LogWentBack, GaveUp, or what Kafka raises.
        """
        try:
            await self._work()
        except LogWentBack:
            self._stored_to = None
            await self._parts.partition.forget()
            raise

    async def _work(self) -> None:
        if self._position.new:
            await self._commit(reached(self._source, await self._parts.partition.position()))
        if self._position.in_doubt is not None:
            await self._repeat(self._position.in_doubt)
        uncommitted: Span | None = None
        while not self._stopping:
            batch = await self._gather(idle=IDLE_SECONDS if uncommitted is None else 0.0)
            if batch is None:
                if uncommitted is not None:
                    await self._commit(uncommitted.done())
                    uncommitted = None
                continue
            if await self._store(batch):
                uncommitted = batch.span
            elif self._parts.rate.stopped is not None:
                if uncommitted is not None:
                    await self._commit(uncommitted.done())
                # The membership in the group goes on without fetches; nobody else takes over.
                await self._ended.wait()

    async def stop(self, *, within: float) -> None:
        """Lets a batch that is being stored end, for so many seconds; then run() may be cancelled.

        A batch that did not end is repeated by the next owner.
        """
        self._stopping = True
        self._ended.set()
        try:
            async with asyncio.timeout(within):
                async with self._storing:
                    if self._stored_to is not None:
                        await self._commit(reached(self._source, self._stored_to))
        except (TimeoutError, NotOwner):
            log.info("left a batch to the next owner", partition=str(self._name))

    async def _gather(self, *, idle: float) -> Batch | None:
        settings, partition = self._parts.settings, self._parts.partition
        records = await partition.fetch(most=settings.batch_rows, wait=idle)
        if not records:
            return None
        self.measures.took(records[0])
        deadline = monotonic() + settings.linger
        size = _bytes(records)
        while len(records) < settings.batch_rows and size < settings.batch_bytes:
            wait = deadline - monotonic()
            if wait <= 0:
                break
            more = await partition.fetch(most=settings.batch_rows - len(records), wait=wait)
            size += _bytes(more)
            records += more
        span = Span(self._source, records[0].offset, records[-1].offset, self._parts.shard)
        return Batch(span, records)

    async def _repeat(self, span: Span) -> None:
        """Takes exactly the noted span from Kafka again and stores it under its name."""
        if not span.shard:
            # Noted when there was one server.
            span = replace(span, shard=self._parts.shard)
        partition = self._parts.partition
        records: list[Record] = []
        while await partition.position() <= span.last:
            left = span.last - await partition.position() + 1
            records += await partition.fetch(most=left, wait=IDLE_SECONDS)
        if records and records[-1].offset > span.last:
            # Offsets are missing within the span (transactions leave such gaps).
            partition.go_back(span.last + 1)
            records = [record for record in records if record.offset <= span.last]
        if not records or records[0].offset > span.first:
            log.error(
                "Kafka no longer holds all of a batch that was in doubt",
                batch=span.token,
                advice="keep topics longer than the sink may stand still",
            )
        if records:
            self.measures.took(records[0])
        if not records or await self._store(Batch(span, records), in_doubt=True):
            await self._commit(span.done())

    async def _store(self, batch: Batch, *, in_doubt: bool = False) -> bool:
        """Whether the batch is stored; it is not even begun when the lane is to stop.

        Nor when it makes too many dead letters. That is asked before the batch is noted, and
        what it is made of is made before: making has no effect, so a batch that is refused
        leaves no trace, and may be gathered again with other bounds. After the note it would be
        too late: a noted batch must be stored as it is, by whoever finds the note. So a batch
        in doubt is not asked about, but counted: some of its letters may be written already,
        they have the same ids, and a topic stands still behind it at the latest.
        """
        async with self._storing:
            if self._stopping:
                return False
            made = await self._make(batch.records)
            if in_doubt:
                self._parts.rate.count(self._source, made.invalid)
            elif not self._parts.rate.admits(self._source, made.invalid):
                return False
            # Until it is stored, nothing may be committed but its note.
            self._stored_to = None
            await self._note(batch.span)
            if made.invalid:
                await self._patiently(lambda: self._write_dead_letters(made))
            rows = await self._patiently(lambda: self._new_rows(batch, made))
            if rows:
                with storing(self._parts.destination.table, batch.span, batch.records):
                    await self._insert(batch.span, encode_rows(rows))
            self._stored_to = batch.span.last + 1
            self.measures.stored(len(batch.records), made, len(rows))
            return True

    async def _make(self, records: Sequence[Record]) -> Made:
        """What becomes of records, a chunk at a time: between two the process does all else.

        Events of many user agents that were never seen cost half a millisecond each. One lane
        makes at a time, so that heartbeats wait for one chunk, not for one of each lane.
        """
        made = Made([], [], [])
        async with self._parts.making:
            for start in range(0, len(records), CHUNK):
                part = self._parts.destination.make(self._source, records[start : start + CHUNK])
                made.take(part)
                await asyncio.sleep(0)
        return made

    async def _write_dead_letters(self, made: Made) -> None:
        await self._parts.dead_letters.write(self._name, made.invalid)

    async def _note(self, span: Span) -> None:
        await self._commit(span.noted())
        self._noted_at = monotonic()

    async def _commit(self, offset: OffsetAndMetadata) -> None:
        await self._parts.partition.commit(offset)
        self.committed = offset.offset
        self.measures.committed(offset.offset)

    async def _new_rows(self, batch: Batch, made: Made) -> list[Row]:
        known = await self.known_ids.known(
            made.ids,
            before=batch.span.first,
            first_arrival=datetime.fromtimestamp(batch.records[0].timestamp / 1000, UTC),
        )
        if not known and len(set(made.ids)) == len(made.ids):
            self.known_ids.add(made.ids)
            return made.rows
        seen = set(known)
        rows = []
        for each, row in zip(made.ids, made.rows, strict=True):
            if each not in seen:
                seen.add(each)
                rows.append(row)
        self.known_ids.add(made.ids)
        return rows

    async def _insert(self, span: Span, rows: bytes) -> None:
        destination, store = self._parts.destination, self._parts.store

        async def attempt() -> None:
            if monotonic() - self._noted_at > NOTE_GOOD_FOR:
                await self._note(span)
            began = monotonic()
            try:
                await store.insert(
                    destination.table, destination.columns, rows, span.token, span.shard
                )
            except (Retryable, Overloaded) as failure:
                self.measures.failed(failure)
                raise
            self.measures.inserted(monotonic() - began)

        await self._patiently(attempt)

    async def _patiently(self, attempt: Callable[[], Awaitable[_Result]]) -> _Result:
        """Repeats what may work the next time, slower each time; GaveUp after the limit."""
        began = monotonic()
        pause = FIRST_PAUSE
        while True:
            try:
                return await attempt()
            except (Retryable, Overloaded) as failure:
                if monotonic() - began > self._parts.settings.give_up_after:
                    raise GaveUp(f"{self._name}: {failure}") from failure
                log.warning("trying again", partition=str(self._name), failure=str(failure))
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
                factor = 4 if isinstance(failure, Overloaded) else 2
                pause = min(pause * factor, LONGEST_PAUSE)


def _bytes(records: Sequence[Record]) -> int:
    return sum([len(record.value or b"") for record in records])
