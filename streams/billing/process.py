"""The billing worker as a process."""

from datetime import UTC, datetime
from functools import partial

from aiokafka.admin import AIOKafkaAdminClient

from schemas.meters import Meters
from schemas.plans import Catalogue
from schemas.stripe_account import opened_stripe
from schemas.topics import QUOTA_COMMANDS, USAGE_COMMANDS, USAGE_LEDGER
from streams.billing.account import StripeAccount
from streams.billing.settings import BillingSettings
from streams.billing.topics import NEEDED, metered
from streams.billing.worker import BillingWorker
from streams.group import process
from streams.group.folder import own_folder
from streams.group.log_reader import LogReader
from streams.group.places import UnreadableValue
from streams.group.table_folder import forget_other_changelog, forget_unusable
from streams.group.topics import Description, described
from streams.health import health_server


async def run(settings: BillingSettings, meters: Meters, catalogue: Catalogue) -> int:
    """Runs until it is stopped or fails; returns the exit code (see streams.group.process)."""
    return await process.run("billing", partial(_work, settings, meters, catalogue))


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def _work(settings: BillingSettings, meters: Meters, catalogue: Catalogue) -> None:
    worker: BillingWorker | None = None

    async def problems() -> dict[str, str]:
        if worker is None:
            return {"billing": f"waits for Kafka at {settings.bootstrap_servers}"}
        return worker.problems()

    def metrics() -> dict[str, float]:
        return {} if worker is None else worker.metrics()

    async with health_server(
        settings.health_host,
        settings.health_port,
        problems,
        setting="WEIR_BILLING_PORT",
        metrics=metrics,
    ):
        with own_folder(settings.folder, worker="billing", setting="WEIR_BILLING_DIR"):
            topics, ends = await process.from_kafka(settings, partial(_described, settings, meters))
            forget_other_changelog(settings.folder, topics[USAGE_LEDGER.name].topic_id)
            forget_unusable(settings.folder, ends)
            async with opened_stripe(
                settings, seconds=settings.stripe_timeout, connections=2 * settings.in_flight
            ) as client:
                worker = BillingWorker(
                    settings, StripeAccount(client), meters, catalogue, topics, _utc_now
                )
                await process.run_worker(
                    "billing", worker, settings.group, for_good=(UnreadableValue,)
                )


async def _described(
    settings: BillingSettings, meters: Meters
) -> tuple[dict[str, Description], dict[int, int]]:
    """The topics, and the changelog's ends. Raises TopicsNotUsable and aiokafka's KafkaError."""
    needed = (*NEEDED, *metered(meters))
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    try:
        await admin.start()
        topics = await described(admin, settings, needed, QUOTA_COMMANDS)
        # See streams.quotas.process: asking makes the coordinator.
        await admin.find_coordinator(settings.group)
    finally:
        await admin.close()
    partitions = range(topics[USAGE_COMMANDS.name].partitions)
    reader = LogReader(settings)
    try:
        return topics, await reader.ends(settings.topic(USAGE_LEDGER.name), partitions)
    finally:
        await reader.stop()
