"""The Faust app of the quotas: one agent, one table, nothing that Faust does on its own."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import faust
from faust.tables.manager import TableManager
from faust.types import TransportT
from faust.types.tuples import Message

from streams.quotas.group import LeasingTransport
from streams.quotas.lease import Lease
from streams.quotas.settings import QuotasSettings
from streams.records import Headers


class _Tables(TableManager):
    """Faust's, at once: it would wait a second for tables that are declared later."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class QuotasApp(faust.App):
    """Joins the group under the lease."""

    def __init__(
        self,
        settings: QuotasSettings,
        lease: Lease,
        commands: str,
        *,
        instance: str,
        datadir: Path,
    ) -> None:
        """`instance`: a worker that was killed has its place again as soon as it is back."""
        self._lease = lease
        self._commands = commands
        timeout = settings.session_timeout
        super().__init__(
            settings.group,
            broker=[f"kafka://{each.strip()}" for each in settings.bootstrap_servers.split(",")],
            datadir=datadir,
            TableManager=_Tables,
            web_enabled=False,
            autodiscover=False,
            # Every topic is in the registry, and made from there.
            topic_allow_declare=False,
            topic_disable_leader=True,
            # Commits only what was acknowledged, and we acknowledge what is confirmed.
            processing_guarantee="at_least_once",
            stream_wait_empty=True,
            stream_buffer_maxsize=1024,
            stream_recovery_delay=0.0,
            broker_commit_interval=0.5,
            broker_session_timeout=timeout,
            broker_heartbeat_interval=min(0.5, timeout / 5),
            consumer_group_instance_id=instance,
            broker_rebalance_timeout=max(10.0, 2 * timeout),
            broker_request_timeout=max(10.0, 2 * timeout),
            table_standby_replicas=settings.standby_replicas,
            consumer_auto_offset_reset="earliest",
            producer_request_timeout=30.0,
        )

    def _new_transport(self) -> TransportT:
        return LeasingTransport(self.conf.broker_consumer, self, self._lease, self._commands)

    @property
    def way(self) -> LeasingTransport:
        """How the app reaches Kafka."""
        transport = self.transport
        assert isinstance(transport, LeasingTransport)  # noqa: S101, made above
        return transport


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
