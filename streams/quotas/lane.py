"""What a partition's commands led to, on its way to Kafka: changelog, then outputs, then done.

Nothing leaves before the changelog has what it rests on, and a command is acknowledged when all
of it is confirmed, in the order of the log. Changes that are not confirmed yet lie over the table.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, Protocol

from aiokafka.structs import RecordMetadata

from streams.quotas.lease import Lease
from streams.quotas.outputs import Message
from streams.quotas.stored import Put, deletion_header
from streams.quotas.table import AccountsStore
from streams.quotas.writer import Sent, Writer
from streams.records import Record

MAX_IN_FLIGHT: Final = 64
"""Commands of a partition that are not confirmed yet; also bounds what an account carries."""


class Overtaken(Exception):
    """Somebody else has written to the changelog: another worker owns the partition, or did."""


class Event(Protocol):
    """A message of Faust's that is acknowledged once."""

    def ack(self) -> bool: ...


@dataclass(slots=True, eq=False)
class Flight:
    """What one command led to. Without an event it is the worker's own doing.

    `outcome`: encoded, for the outbox of the user's account until it is confirmed.
    """

    event: Event | None = None
    record: Record | None = None
    puts: Sequence[Put] = ()
    outputs: Sequence[Message] = ()
    user_key: bytes = b""
    outcome: bytes = b""
    began: float = field(default_factory=monotonic)


@dataclass(slots=True, eq=False)
class _Group:
    """Flights that go together, and what of them is on its way now."""

    flights: list[Flight]
    sent: list[Sent]


class Lane:
    """The commands in flight of one partition, which this worker owns."""

    def __init__(
        self,
        partition: int,
        *,
        next_offset: int,
        changelog: str,
        store: AccountsStore,
        writer: Writer,
        lease: Lease,
        failed: Callable[[BaseException], None],
    ) -> None:
        """`next_offset`: of the changelog, which the next change will get."""
        self.partition = partition
        self.acknowledged: Record | None = None
        self._next_offset = next_offset
        self._changelog = changelog
        self._store = store
        self._writer = writer
        self._lease = lease
        self._failed = failed
        self._flights: deque[Flight] = deque()
        self._new: deque[Flight] = deque()
        self._any_new = asyncio.Event()
        self._changing: asyncio.Queue[_Group] = asyncio.Queue(MAX_IN_FLIGHT)
        self._leaving: asyncio.Queue[_Group] = asyncio.Queue(MAX_IN_FLIGHT)
        self._over: dict[bytes, tuple[bytes | None, Flight]] = {}
        self._outboxes: dict[bytes, deque[bytes]] = {}
        self._room = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._guarded(step()))
            for step in (self._change, self._leave, self._finish)
        ]

    def __len__(self) -> int:
        return len(self._flights)

    @property
    def oldest(self) -> float | None:
        """When the oldest command in flight began, by the monotonic clock."""
        return self._flights[0].began if self._flights else None

    def get(self, key: bytes) -> bytes | None:
        """The value under a key, with all changes that were submitted."""
        over = self._over.get(key)
        return self._store.read(self.partition, key) if over is None else over[0]

    def is_changing(self, key: bytes) -> bool:
        """Whether a change of this key is on its way."""
        return key in self._over

    def outbox(self, user_key: bytes) -> Sequence[bytes]:
        """The encoded outcomes of a user's commands in flight, in their order."""
        return self._outboxes.get(user_key, ())

    async def room(self) -> None:
        """Returns when one more may be submitted."""
        while len(self._flights) >= MAX_IN_FLIGHT:
            self._room.clear()
            await self._room.wait()

    def submit(self, flight: Flight) -> None:
        """Its changes are seen by `get` from now on."""
        for key, value in flight.puts:
            self._over[key] = value, flight
        if flight.outcome:
            self._outboxes.setdefault(flight.user_key, deque()).append(flight.outcome)
        self._flights.append(flight)
        self._new.append(flight)
        self._any_new.set()

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
            flights = list(self._new)
            self._new.clear()
            puts = [put for flight in flights for put in flight.puts]
            self._lease.must_hold()
            sent = await self._writer.write_together(
                self._changelog,
                self.partition,
                [(key, value, self._headers(key, value)) for key, value in puts],
            )
            await self._changing.put(_Group(flights, sent))

    async def _leave(self) -> None:
        while True:
            group = await self._changing.get()
            for sent in group.sent:
                self._must_be_next(await sent.confirmation, sent.count)
            if group.sent:
                puts = [put for flight in group.flights for put in flight.puts]
                self._store.write(self.partition, puts, self._next_offset - 1)
                for flight in group.flights:
                    for key, _ in flight.puts:
                        if self._over[key][1] is flight:
                            del self._over[key]
            self._lease.must_hold()
            outputs = [output for flight in group.flights for output in flight.outputs]
            group.sent = await self._writer.write(outputs)
            await self._leaving.put(group)

    async def _finish(self) -> None:
        while True:
            group = await self._leaving.get()
            for sent in group.sent:
                await sent.confirmation
            for flight in group.flights:
                self._flights.popleft()
                if flight.outcome:
                    outbox = self._outboxes[flight.user_key]
                    outbox.popleft()
                    if not outbox:
                        del self._outboxes[flight.user_key]
                if flight.event is not None:
                    flight.event.ack()
                    self.acknowledged = flight.record
            self._room.set()

    def _headers(self, key: bytes, value: bytes | None) -> list[tuple[str, bytes]]:
        if value is not None or (current := self._store.read(self.partition, key)) is None:
            return []
        return [deletion_header(current)]

    def _must_be_next(self, confirmed: RecordMetadata, count: int) -> None:
        if confirmed.offset != self._next_offset:
            raise Overtaken(
                f"the changelog of partition {self.partition} went from offset "
                f"{self._next_offset} to {confirmed.offset}: another worker wrote to it"
            )
        self._next_offset += count
