"""A worker's Faust app: agents over topics that it names, nothing that Faust does on its own."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import faust
from faust.tables.manager import TableManager
from faust.types import TransportT
from faust.types.auth import CredentialsT

from schemas.lenient_records import read_lenient_records
from schemas.servers import KafkaClientArguments, KafkaSettings
from streams.group.lease import Lease
from streams.group.transport import LeasingTransport


@dataclass(frozen=True, slots=True)
class Membership:
    """What a worker is in which group; times in seconds.

    `instance`: a worker that was killed has its place again as soon as it is back.
    `revoke_timeout`: how long giving partitions up may take.
    """

    kafka: KafkaSettings
    group: str
    instance: str
    datadir: Path
    session_timeout: float
    revoke_timeout: float
    standby_replicas: int = 0


def _credentials(server: KafkaClientArguments) -> CredentialsT | None:
    """The same as Faust says it; it has no word for the protocol itself."""
    match server["security_protocol"]:
        case "PLAINTEXT":
            return None
        case "SSL":
            return faust.SSLCredentials(server["ssl_context"])
        case "SASL_PLAINTEXT" | "SASL_SSL":
            return faust.SASLCredentials(
                mechanism=server["sasl_mechanism"],
                username=server["sasl_plain_username"],
                password=server["sasl_plain_password"],
                ssl_context=server["ssl_context"],
            )


class _Tables(TableManager):
    """Faust's, at once: it would wait a second for tables that are declared later."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class GroupApp(faust.App):
    """Joins the group under the lease."""

    def __init__(
        self,
        membership: Membership,
        lease: Lease,
        topics: Sequence[str],
        *,
        drains: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`topics`: their names on the cluster. `drains`: see LeasingTransport."""
        read_lenient_records()
        self._lease = lease
        self._drains = drains
        self.begins: dict[str, dict[int, int]] = {topic: {} for topic in topics}
        timeout = membership.session_timeout
        server = membership.kafka.client_arguments()
        super().__init__(
            membership.group,
            broker=[f"kafka://{each.strip()}" for each in server["bootstrap_servers"].split(",")],
            broker_credentials=_credentials(server),
            datadir=membership.datadir,
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
            consumer_group_instance_id=membership.instance,
            broker_rebalance_timeout=max(10.0, membership.revoke_timeout),
            broker_request_timeout=max(10.0, 2 * timeout, membership.revoke_timeout),
            table_standby_replicas=membership.standby_replicas,
            consumer_auto_offset_reset="earliest",
            producer_request_timeout=30.0,
        )

    def _new_transport(self) -> TransportT:
        return LeasingTransport(
            self.conf.broker_consumer, self, self._lease, self.begins, self._drains
        )

    @property
    def way(self) -> LeasingTransport:
        """How the app reaches Kafka."""
        transport = self.transport
        assert isinstance(transport, LeasingTransport)  # noqa: S101, made above
        return transport
