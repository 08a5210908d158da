"""A partition as its owner in the group sees it: what it may read, and what it may commit."""

import asyncio
from time import monotonic
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from streams.records import Record

_PAUSE: Final = 0.1


class NotOwner(Exception):
    """The partition has gone to another sink; what was begun here is theirs to repeat."""


class LogWentBack(Exception):
    """Kafka holds less than was read before: it lost its last messages, or was made anew."""


class OwnedPartition:
    """A partition that the group gave to this sink in one generation.

    It reaches into aiokafka's coordinator (pinned): `commit` there takes the generation that is
    current when a request leaves, also of a membership that is newer, or over. A commit without
    a generation is even taken by the broker, for a group without members: from a sink that was
    frozen while another worked and left.
    """

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        name: TopicPartition,
        *,
        begin: int | None,
        patience: float,
    ) -> None:
        """`begin` is the committed offset, if any; `patience` bounds commits, in seconds."""
        self._consumer = consumer
        self._coordinator = consumer._coordinator  # noqa: SLF001
        self._generation = self._coordinator.generation
        self._name = name
        self._expected = begin
        self._patience = patience
        if begin is not None:
            # aiokafka's own look-up takes "the coordinator is loading" for "nothing committed".
            consumer.seek(name, begin)

    async def fetch(self, *, most: int, wait: float) -> list[Record]:
        """The next records. Raises LogWentBack when they lie before what was read already."""
        batches = await self._consumer.getmany(
            self._name, timeout_ms=int(wait * 1000), max_records=most
        )
        records: list[Record] = batches.get(self._name, [])
        if records:
            self._must_not_go_back(records[0].offset)
            self._expected = records[-1].offset + 1
        return records

    async def position(self) -> int:
        """The offset of the next record to fetch. Raises as `fetch`."""
        position: int = await self._consumer.position(self._name)
        self._must_not_go_back(position)
        return position

    def go_back(self, offset: int) -> None:
        """The next record to fetch is the one at this offset."""
        self._expected = offset
        self._consumer.seek(self._name, offset)

    async def commit(self, offset: OffsetAndMetadata) -> None:
        """Raises NotOwner when the generation is over, and Kafka's error when it lasts."""
        deadline = monotonic() + self._patience
        while True:
            await self._coordinator.ensure_coordinator_known()
            # From here to the request's bytes nothing is awaited: check and send are one step.
            if self._coordinator.generation != self._generation:
                raise NotOwner(str(self._name))
            try:
                await self._coordinator._do_commit_offsets(None, {self._name: offset})  # noqa: SLF001
            except (
                UnknownMemberIdError,
                IllegalGenerationError,
                RebalanceInProgressError,
            ) as error:
                raise NotOwner(str(self._name)) from error
            except KafkaError as error:
                if not error.retriable or monotonic() > deadline:
                    raise
                await asyncio.sleep(_PAUSE)
            else:
                return

    async def forget(self) -> None:
        """Commits where the log begins, without a note: whoever comes next begins anew."""
        position: int = await self._consumer.position(self._name)
        await self.commit(OffsetAndMetadata(position, ""))

    def _must_not_go_back(self, offset: int) -> None:
        if self._expected is not None and offset < self._expected:
            raise LogWentBack(
                f"{self._name.topic}:{self._name.partition} was read up to offset "
                f"{self._expected} and goes on at {offset}: Kafka lost messages. Start the sink "
                "again: it reads what is there, and what is known does not count twice"
            )
