"""What a partition's messages led to, on its way to Kafka: changelog, then outputs, then done.

Nothing leaves before the changelog has what it rests on, and a command is acknowledged when all
of it is confirmed, in the order of the log. Changes that are not confirmed yet lie over the table.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from streams.group.lease import Lease
from streams.group.places import Place, Put, deletion_header
from streams.group.reading import Event
from streams.group.table import KeyedStore, Range
from streams.messages import Message, carrying_trace
from streams.records import Record
from streams.writer import Writer, Written

MAX_IN_FLIGHT: Final = 64
"""Commands of a partition that are not confirmed yet; also bounds what an account carries."""

MAX_RANGES: Final = 64
"""Of keys that are to be compacted: more become one."""


class Overtaken(Exception):
    """Somebody else has written to the changelog: another worker owns the partition, or did."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """That a flight's changes leave nothing, also where an older value is on its way.

    `place`: of the command that erases. `keys`: among which the changed ones are; what was there
    is taken off the disk too, soon.
    """

    place: Place
    keys: Range


@dataclass(slots=True, eq=False)
class Flight:
    """What one command led to. Without an event it is the worker's own doing.

    `outcome`: encoded, for the outbox of the user's account until it is confirmed. `done` is told
    when all of it is.
    """

    event: Event | None = None
    record: Record | None = None
    puts: Sequence[Put] = ()
    outputs: Iterable[Message] = ()
    user_key: bytes = b""
    outcome: bytes = b""
    done: asyncio.Future[None] | None = None
    erases: Erasure | None = None
    began: float = field(default_factory=monotonic)


class TableLane:
    """The commands in flight of one partition, which this worker owns."""

    def __init__(
        self,
        partition: int,
        *,
        next_offset: int,
        changelog: str,
        store: KeyedStore,
        writer: Writer,
        lease: Lease,
        failed: Callable[[BaseException], None],
        finished: Callable[[float], None] = lambda _: None,
    ) -> None:
        """`next_offset`: of the changelog, which the next change will get. `finished`: is told for
        how many seconds each message was in flight.
        """
        self.partition = partition
        self.acknowledged: Record | None = None
        self._next_offset = next_offset
        self._changelog = changelog
        self._store = store
        self._writer = writer
        self._lease = lease
        self._failed = failed
        self._finished = finished
        self._flights: deque[Flight] = deque()
        self._new: deque[Flight] = deque()
        self._any_new = asyncio.Event()
        self._changed: deque[Flight] = deque()
        self._any_changed = asyncio.Event()
        self._over: dict[bytes, tuple[bytes | None, Flight]] = {}
        self._outboxes: dict[bytes, deque[bytes]] = {}
        self._room = asyncio.Event()
        self._erased: list[Range] = []
        self._any_erased = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._guarded(step()))
            for step in (self._change, self._leave, self._compact)
        ]

    @property
    def in_flight(self) -> int:
        """How many are submitted and not confirmed in all they led to."""
        return len(self._flights)

    @property
    def oldest(self) -> float | None:
        """When the oldest command in flight began, by the monotonic clock."""
        return self._flights[0].began if self._flights else None

    @property
    def first(self) -> Record | None:
        """The first message in flight."""
        return next((each.record for each in self._flights if each.record is not None), None)

    def get(self, key: bytes) -> bytes | None:
        """The value under a key, with all changes that were submitted."""
        over = self._over.get(key)
        return self._store.read(self.partition, key) if over is None else over[0]

    def is_changing(self, key: bytes) -> bool:
        """Whether a change of this key is on its way."""
        return key in self._over

    def keys_below(self, prefix: bytes) -> list[bytes]:
        """Keys that begin so, in the table and on their way to it, and have a value."""
        found = {key for key, (value, _) in self._over.items() if value and key.startswith(prefix)}
        found.update(
            key for key in self._store.keys_below(self.partition, prefix) if key not in self._over
        )
        return sorted(found)

    def outbox(self, user_key: bytes) -> Sequence[bytes]:
        """The encoded outcomes of a user's commands in flight, in their order."""
        return self._outboxes.get(user_key, ())

    @property
    def is_full(self) -> bool:
        """Whether one more must wait."""
        return len(self._flights) >= MAX_IN_FLIGHT

    async def room(self) -> None:
        """Returns when one more may be submitted."""
        while self.is_full:
            self._room.clear()
            await self._room.wait()

    async def drained(self) -> None:
        """Returns when nothing is in flight."""
        while self._flights:
            self._room.clear()
            await self._room.wait()

    def submit(self, flight: Flight) -> None:
        """Its changes are seen by `get` from now on."""
        # What writes them does so for many at once, and knows no trace.
        flight.outputs = carrying_trace(flight.outputs)
        for key, value in flight.puts:
            self._over[key] = value, flight
        if flight.outcome:
            self._outboxes.setdefault(flight.user_key, deque()).append(flight.outcome)
        self._flights.append(flight)
        self._new.append(flight)
        self._any_new.set()

    async def put(
        self,
        puts: Sequence[Put],
        outputs: Sequence[Message] = (),
        *,
        erases: Erasure | None = None,
    ) -> None:
        """Returns when the table has the changes, and then Kafka the outputs."""
        await self.room()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.submit(Flight(puts=puts, outputs=outputs, done=done, erases=erases))
        await done

    def close(self) -> None:
        """Drops what is in flight; whoever owns the partition next decides it again, alike."""
        for task in self._tasks:
            task.cancel()

    async def _guarded(self, steps: Coroutine[None, None, None]) -> None:
        try:
            await steps
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._failed(error)
            raise

    async def _change(self) -> None:
        while True:
            await self._any_new.wait()
            self._any_new.clear()
            # One batch at a time, as the producer sends them: what comes meanwhile joins the next.
            flights = list(self._new)
            self._new.clear()
            if any(flight.puts for flight in flights):
                await self._put(flights)
                for flight in flights:
                    for key, _ in flight.puts:
                        # A flight may put twice under one key: the last one counts.
                        over = self._over.get(key)
                        if over is not None and over[1] is flight:
                            del self._over[key]
            self._erase(flights)
            self._changed.extend(flights)
            self._any_changed.set()

    def _erase(self, flights: Sequence[Flight]) -> None:
        for flight in flights:
            if flight.erases is not None and flight.puts:
                self._erased.append(flight.erases.keys)
                self._any_erased.set()
        if len(self._erased) > MAX_RANGES:
            firsts, lasts = zip(*self._erased, strict=True)
            self._erased = [(min(firsts), max(lasts))]

    async def _compact(self) -> None:
        """Beside the commands: it takes seconds, for which none of them can wait."""
        while True:
            await self._any_erased.wait()
            self._any_erased.clear()
            ranges, self._erased = self._erased, []
            await asyncio.to_thread(self._store.compact, self.partition, ranges)

    async def _put(self, flights: Sequence[Flight]) -> None:
        puts = [put for flight in flights for put in flight.puts]
        entries = [
            (key, value, self._headers(key, value, flight.erases))
            for flight in flights
            for key, value in flight.puts
        ]
        self._lease.must_hold()
        for written in await self._writer.write_alone(self._changelog, self.partition, entries):
            self._must_be_next(written)
        self._store.write(self.partition, puts, self._next_offset - 1)

    async def _leave(self) -> None:
        while True:
            await self._any_changed.wait()
            self._any_changed.clear()
            flights = list(self._changed)
            self._changed.clear()
            outputs = [output for flight in flights for output in flight.outputs]
            if outputs:
                self._lease.must_hold()
                await self._writer.write(outputs)
            for flight in flights:
                self._finish(flight)
            self._room.set()

    def _finish(self, flight: Flight) -> None:
        self._flights.popleft()
        if flight.outcome:
            outbox = self._outboxes[flight.user_key]
            outbox.popleft()
            if not outbox:
                del self._outboxes[flight.user_key]
        if flight.done is not None and not flight.done.done():
            flight.done.set_result(None)
        if flight.event is not None:
            flight.event.ack()
            self.acknowledged = flight.record
            self._finished(monotonic() - flight.began)

    def _headers(
        self, key: bytes, value: bytes | None, erases: Erasure | None
    ) -> list[tuple[str, bytes]]:
        if value is None and erases is not None:
            # What it deletes may be in this very batch, and newer than what the table has.
            return [deletion_header(erases.place.head())]
        if value is not None or (current := self._store.read(self.partition, key)) is None:
            return []
        return [deletion_header(current)]

    def _must_be_next(self, written: Written) -> None:
        if written.offset != self._next_offset:
            raise Overtaken(
                f"the changelog of partition {self.partition} went from offset "
                f"{self._next_offset} to {written.offset}: another worker wrote to it"
            )
        self._next_offset += written.count
