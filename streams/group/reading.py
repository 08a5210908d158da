"""Hands the messages of one topic to the partitions' lanes, each message in its turn."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, cast

import faust
from aiokafka.structs import TopicPartition
from faust.types import TP, EventT, StreamT
from faust.types.tuples import Message

from streams.group.app import GroupApp
from streams.group.log_reader import LogReader
from streams.group.stalls import Stalls
from streams.group.turns import Turns
from streams.lag import Standing
from streams.records import Headers, Record


class Event(Protocol):
    """A message of Faust's that is acknowledged once."""

    def ack(self) -> bool: ...


class Roomy(Protocol):
    """What takes messages of a partition."""

    @property
    def is_full(self) -> bool:
        """Whether one more must wait."""

    @property
    def first(self) -> Record | None:
        """The first message that is not finished, of those that were taken."""

    async def room(self) -> None:
        """Returns when one more may be taken."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message of Faust's as a `Record`."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @classmethod
    def of(cls, message: Message) -> "Incoming":
        # As aiokafka reads them, though Faust's type says mapping or list.
        headers = cast("Headers", message.headers or ())
        # Faust made seconds of milliseconds.
        timestamp = round(message.timestamp * 1000)
        return cls(message.offset, timestamp, message.key, message.value, headers)


_Lane = TypeVar("_Lane", bound=Roomy)


class Reading(Generic[_Lane]):
    """The agent of a topic. `lanes`: of the partitions that this worker owns now."""

    def __init__(
        self,
        app: GroupApp,
        reader: LogReader,
        topic: str,
        *,
        agent: str,
        take: Callable[[_Lane, Record, Event], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """`take` gets each message once there is room in its lane, and acknowledges it some time.

        To be made before the app is finalized.
        """
        self.topic = topic
        self.lanes: dict[int, _Lane] = {}
        self._app = app
        self._take = take
        self._failed = failed
        self._turns = Turns(reader, topic, app.begins[topic], self._go_back)
        self._stalls = Stalls(reader, topic)
        app.agent(
            app.topic(topic, schema=raw_schema(), allow_empty=True), name=agent, concurrency=1
        )(self._read)

    def open(self, partition: int, lane: _Lane) -> None:
        """Reading the partition begins anew, into this lane."""
        self.lanes[partition] = lane
        self._turns.forget(partition)

    def close(self, partition: int) -> _Lane | None:
        """Nothing of the partition is handed over any more."""
        return self.lanes.pop(partition, None)

    def standings(self) -> list[Standing]:
        """Where the partitions that this worker owns stand, as far as reading them has begun."""
        read = self._turns.read
        found = []
        for partition, lane in self.lanes.items():
            first = lane.first
            offset = read.get(partition) if first is None else first.offset
            if offset is not None:
                arrived = None if first is None else first.timestamp
                found.append(Standing(TopicPartition(self.topic, partition), offset, arrived))
        return found

    async def check(self, assigned: set[TP] | None, *, waits: bool) -> None:
        """Raises Stalled when messages wait for longer than is well, and Kafka's error.

        `assigned`: None while partitions are given out; `waits`: that is all that happens.
        """
        self._stalls.rebalances(waits)
        if any(lane.is_full for lane in self.lanes.values()):
            # The agent waits for room: it reads nothing, and nothing is wrong.
            self._stalls.forget()
        elif assigned is not None:
            mine = [each.partition for each in assigned if each.topic == self.topic]
            await self._stalls.check(mine, self._turns.read)

    async def _read(self, stream: StreamT[bytes]) -> None:
        events = cast("faust.Stream[bytes]", stream).noack().events()
        try:
            async for event in cast("AsyncIterator[EventT[bytes]]", events):
                lane = await self._lane_for(event.message)
                if lane is not None:
                    self._take(lane, Incoming.of(event.message), event)
                else:
                    # It comes again, here or elsewhere; Faust must not wait for it.
                    self._app.consumer.unacked.discard(event.message)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            # Faust would start the agent again, behind this event.
            self._failed(error)
            raise

    async def _lane_for(self, message: Message) -> _Lane | None:
        """The lane of a message whose turn it is, once there is room; None: it comes again."""
        partition, offset = message.partition, message.offset
        lane = self.lanes.get(partition)
        if lane is None:
            return None
        await lane.room()
        if not await self._turns.has_come(partition, offset):
            return None
        if self.lanes.get(partition) is not lane:
            return None
        self._turns.take(partition, offset)
        return lane

    async def _go_back(self, partition: int, offset: int) -> None:
        await self._app.consumer.seek_wait({TP(self.topic, partition): offset})


def raw_schema() -> faust.Schema[bytes, bytes]:
    """Bytes as they are: Faust acknowledges, and loses, what it cannot decode."""
    return faust.Schema(
        key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )
