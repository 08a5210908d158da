"""Writes to Kafka in rounds: what all lanes have to say goes out together, then the next.

A request costs the broker more than a message does, and an idempotent producer has one batch of a
partition on its way at a time anyway. A partition that takes longer joins a later round.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata

from schemas.servers import KafkaSettings
from streams.messages import Message, carrying_trace

REQUEST_BYTES: Final = 4 << 20
BATCH_BYTES: Final = 1 << 19
"""Half of what the topics take in one batch, so that a large message may join a batch."""

MANY: Final = 16
ROUND: Final = 0.006
"""After a round of MANY messages the next begins so many seconds after it, and has more to take:
a backlog is done sooner by a third. Who asks now and then does not wait."""

PATIENCE: Final = 0.05
"""So long the next round waits for the slowest of this one, in seconds."""

Entry = tuple[bytes, bytes | None, list[tuple[str, bytes]]]
"""Key, value and headers."""

_Place = tuple[str, int | None]


@dataclass(frozen=True, slots=True)
class Written:
    """So many messages, which lie one after the other from this offset on."""

    offset: int
    count: int


class _Job(NamedTuple):
    entries: Sequence[Entry]
    done: asyncio.Future[list[Written]]


class Writer:
    """One for the process."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._producer = AIOKafkaProducer(
            **settings.client_arguments(),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            compression_type=None if settings.compression == "none" else settings.compression,
            max_request_size=REQUEST_BYTES,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=10_000,
        )
        self._waiting: dict[_Place, list[_Job]] = {}
        self._flying: set[_Place] = set()
        self._messages = 0
        self._awake = asyncio.Event()
        self._rounds: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises aiokafka's KafkaError when Kafka cannot be reached."""
        await self._producer.start()
        self._rounds = asyncio.create_task(self._go_round())

    async def stop(self) -> None:
        if self._rounds is not None:
            self._rounds.cancel()
        await self._producer.stop()

    async def write(self, messages: Iterable[Message]) -> None:
        """Returns when Kafka has confirmed all. Raises its error when one is refused."""
        places: dict[_Place, list[Entry]] = {}
        for topic, partition, key, value, headers in carrying_trace(messages):
            places.setdefault((topic, partition), []).append((key, value, list(headers)))
        await asyncio.gather(*(self._submit(place, entries) for place, entries in places.items()))

    async def write_alone(
        self, topic: str, partition: int, entries: Sequence[Entry]
    ) -> list[Written]:
        """As `write`; says where they lie, as long as no other call writes to this partition."""
        return await self._submit((topic, partition), entries)

    def _submit(self, place: _Place, entries: Sequence[Entry]) -> asyncio.Future[list[Written]]:
        done: asyncio.Future[list[Written]] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(place, []).append(_Job(entries, done))
        self._awake.set()
        return done

    async def _go_round(self) -> None:
        began = 0.0
        while True:
            await self._awake.wait()
            if self._messages >= MANY:
                await asyncio.sleep(began + ROUND - monotonic())
            self._awake.clear()
            self._messages = 0
            began = monotonic()
            ready = [place for place in self._waiting if place not in self._flying]
            flights = [
                asyncio.create_task(self._fly(place, self._waiting.pop(place))) for place in ready
            ]
            if flights:
                await asyncio.wait(flights, timeout=PATIENCE)

    async def _fly(self, place: _Place, jobs: list[_Job]) -> None:
        self._flying.add(place)
        entries = [entry for job in jobs for entry in job.entries]
        self._messages += len(entries)
        try:
            written = await self._send(*place, entries)
        except Exception as error:  # noqa: BLE001, whoever waits gets it
            for job in jobs:
                if not job.done.done():
                    job.done.set_exception(error)
        else:
            for job in jobs:
                if not job.done.done():
                    job.done.set_result(written)
        finally:
            self._flying.discard(place)
            if place in self._waiting:
                self._awake.set()

    async def _send(
        self, topic: str, partition: int | None, entries: Sequence[Entry]
    ) -> list[Written]:
        if partition is None:
            sent = [
                await self._producer.send(topic, value, key, headers=headers)
                for key, value, headers in entries
            ]
            return [Written((await each).offset, 1) for each in sent]
        confirmations: list[tuple[asyncio.Future[RecordMetadata], int]] = []
        batch = self._producer.create_batch()
        for key, value, headers in entries:
            # The first of a batch is taken at any size.
            while batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
                confirmations.append(await self._send_batch(batch, topic, partition))
                batch = self._producer.create_batch()
        confirmations.append(await self._send_batch(batch, topic, partition))
        return [Written((await each).offset, count) for each, count in confirmations]

    async def _send_batch(
        self, batch: BatchBuilder, topic: str, partition: int
    ) -> tuple[asyncio.Future[RecordMetadata], int]:
        batch.close()
        sent = await self._producer.send_batch(batch, topic, partition=partition)
        return sent, batch.record_count()
