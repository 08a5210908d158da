"""The worker's membership in its group: Faust's consumer, with what it leaves out.

Heartbeats renew the lease. Reading begins exactly at what the group has committed, or where the
log begins: Faust goes on where it was when nothing or 0 is committed, past messages that it had
fetched and dropped while partitions were given out. It reaches into aiokafka's coordinator
(pinned), whose own look-up takes "the coordinator is loading" for "nothing is committed".
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Final, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.structs import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, AppT
from yarl import URL

from streams.group.lease import Lease

COORDINATOR_SECONDS: Final = 30.0
FETCH_WAIT_MS: Final = 100
"""A partition whose messages were handed over is asked for again only once the broker has answered
about the others: of Faust's 1.5 s new messages waited up to 1.3 s (measured, posts of 40 users)."""
_PAUSE: Final = 0.1


class NoCoordinator(Exception):
    """The group's coordinator gave no usable answer for too long."""


class LeasingTransport(driver.Transport):
    """Faust's way to Kafka.

    `begins`: where reading each topic began last, by partition; filled here. `gives_up`: what is
    in flight will never be confirmed, so that nobody needs to wait for it. `drains`: waits for
    what is in flight when partitions are taken away; without it Faust waits for ever.
    """

    def __init__(
        self,
        url: list[URL],
        app: AppT,
        lease: Lease,
        begins: Mapping[str, dict[int, int]],
        drains: Callable[[], Awaitable[None]] | None,
    ) -> None:
        super().__init__(url, app)
        self.lease = lease
        self.begins = begins
        self.drains = drains
        self.gives_up = False

    class Consumer(driver.Consumer):
        """Faust's, in a thread of ours."""

        def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
            return _LeasingThread(self, loop=self.loop, beacon=self.beacon)

        async def wait_empty(self) -> None:
            """Returns when what is in flight is done, or never will be; commits what is done."""
            transport = cast("LeasingTransport", self.transport)
            if transport.gives_up:
                await self.commit_and_end_transactions()
            elif transport.drains is not None:
                await transport.drains()
                # What is not done by now is handed over again, here or elsewhere.
                self.unacked.clear()
                await self.commit_and_end_transactions()
            else:
                await super().wait_empty()


class _LeasingThread(driver.AIOKafkaConsumerThread):
    @property
    def _ours(self) -> LeasingTransport:
        transport = self.transport
        assert isinstance(transport, LeasingTransport)  # noqa: S101, it is ours
        return transport

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # What a transaction took back was never sent.
        consumer._isolation_level = "read_committed"  # noqa: SLF001
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001
        coordinator._do_heartbeat = self._renewing(coordinator._do_heartbeat)  # noqa: SLF001

    async def on_thread_stop(self) -> None:
        if self._consumer is not None and self._consumer._coordinator is not None:  # noqa: SLF001
            # Who is stopped gives its place up at once, unlike one who is killed.
            self._consumer._coordinator._group_instance_id = None  # noqa: SLF001
        await super().on_thread_stop()

    def _renewing(self, heartbeat: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
        lease = self._ours.lease

        async def beat() -> bool:
            sent_at = lease.now()
            answered = await heartbeat()
            if answered:
                lease.renew(sent_at)
            return answered

        return beat

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        # Joining is a sign of life too, and heartbeats only begin after it.
        self._ours.lease.renew(self._ours.lease.now())
        await super().on_partitions_assigned(assigned, generation_id)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Goes to where the topics are to be read; returns the offsets by partition."""
        begins: dict[TopicPartition, int] = await self.call_thread(self._seek_to_committed)
        return cast("Mapping[TP, int]", begins)

    async def _seek_to_committed(self) -> dict[TopicPartition, int]:
        consumer = self._ensure_consumer()
        ours = [each for each in consumer.assignment() if each.topic in self._ours.begins]
        if not ours:
            return {}
        begins = await self._committed(consumer, ours)
        nothing = [each for each, offset in begins.items() if offset < 0]
        if nothing:
            begins |= await consumer.beginning_offsets(nothing)
        for each, offset in begins.items():
            consumer.seek(each, offset)
            self._ours.begins[each.topic][each.partition] = offset
        return begins

    async def _committed(
        self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """The group's offset of each, -1 where there is none. Raises NoCoordinator."""
        coordinator = consumer._coordinator  # noqa: SLF001
        numbers: dict[str, list[int]] = {}
        for each in partitions:
            numbers.setdefault(each.topic, []).append(each.partition)
        request = OffsetFetchRequest(self.app.conf.id, list(numbers.items()))
        deadline = monotonic() + COORDINATOR_SECONDS
        while True:
            await coordinator.ensure_coordinator_known()
            try:
                response = await coordinator._send_req(request)  # noqa: SLF001
                found = {
                    TopicPartition(topic, partition): offset
                    for topic, offsets in response.topics
                    for partition, offset, _, code in offsets
                    if not code
                }
                if found.keys() == set(partitions):
                    return found
                coordinator.coordinator_dead()
            except KafkaError:
                pass
            if monotonic() > deadline:
                raise NoCoordinator("Kafka did not say what the group has committed")
            await asyncio.sleep(_PAUSE)
