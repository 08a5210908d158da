"""The billing worker as a process."""

from datetime import UTC, datetime
from functools import partial
from typing import Final

from schemas.meters import Meters
from schemas.plans import Catalogue
from schemas.stripe_account import opened_stripe
from schemas.topics import USAGE_LEDGER
from streams.billing.account import StripeAccount
from streams.billing.settings import BillingSettings
from streams.billing.topics import NEEDED, metered
from streams.billing.worker import BillingWorker
from streams.group import process
from streams.group.folder import own_folder
from streams.group.places import UnreadableValue
from streams.group.table_folder import forget_other_changelog, forget_unusable
from streams.group.topics import described_with_ends
from streams.health import health_server

PARTS: Final = ("billing", "kafka", "stripe", "reports")


async def run(settings: BillingSettings, meters: Meters, catalogue: Catalogue) -> int:
    """Runs until it is stopped or fails; returns the exit code (see streams.group.process)."""
    return await process.run("billing", partial(_work, settings, meters, catalogue))


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def _work(settings: BillingSettings, meters: Meters, catalogue: Catalogue) -> None:
    worker: BillingWorker | None = None

    async def problems() -> dict[str, str]:
        if worker is None:
            return {"billing": "is starting"}
        return worker.problems()

    async def look() -> None:
        if worker is not None:
            await worker.lag.look()

    async with health_server(
        settings.health_host,
        settings.health_port,
        problems,
        process="billing",
        parts=PARTS,
        look=look,
    ):
        with own_folder(settings.folder, worker="billing", setting="WEIR_BILLING_DIR"):
            needed = (*NEEDED, *metered(meters))
            ask = partial(described_with_ends, settings, needed, settings.group, USAGE_LEDGER)
            topics, ends = await process.from_kafka(ask)
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
