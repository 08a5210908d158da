"""The worker's membership in its group: Faust's consumer, with heartbeats that renew the lease."""

from collections.abc import Awaitable, Callable

from faust.transport.drivers import aiokafka as driver
from faust.types import TP, AppT
from yarl import URL

from streams.quotas.lease import Lease


class LeasingTransport(driver.Transport):
    """Faust's way to Kafka; it reaches into aiokafka's coordinator, which is pinned."""

    def __init__(self, url: list[URL], app: AppT, lease: Lease) -> None:
        super().__init__(url, app)
        self.lease = lease

    class Consumer(driver.Consumer):
        """Faust's, in a thread of ours."""

        def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
            return _LeasingThread(self, loop=self.loop, beacon=self.beacon)


class _LeasingThread(driver.AIOKafkaConsumerThread):
    @property
    def _lease(self) -> Lease:
        transport = self.transport
        assert isinstance(transport, LeasingTransport)  # noqa: S101, it is ours
        return transport.lease

    async def on_start(self) -> None:
        await super().on_start()
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001
        coordinator._do_heartbeat = self._renewing(coordinator._do_heartbeat)  # noqa: SLF001

    def _renewing(self, heartbeat: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
        async def beat() -> bool:
            sent_at = self._lease.now()
            answered = await heartbeat()
            if answered:
                self._lease.renew(sent_at)
            return answered

        return beat

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        # Joining is a sign of life too, and heartbeats only begin after it.
        self._lease.renew(self._lease.now())
        await super().on_partitions_assigned(assigned, generation_id)
