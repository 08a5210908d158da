"""The quotas worker as a process."""

from functools import partial
from typing import Final

from schemas.plans import Catalogue
from schemas.topics import QUOTA_ACCOUNTS
from streams.group import process
from streams.group.folder import own_folder
from streams.group.places import UnreadableValue
from streams.group.table_folder import forget_other_changelog, forget_unusable
from streams.group.topics import described_with_ends
from streams.health import health_server
from streams.quotas.settings import QuotasSettings
from streams.quotas.topics import NEEDED
from streams.quotas.worker import QuotasWorker

PARTS: Final = ("quotas", "kafka")


async def run(settings: QuotasSettings, catalogue: Catalogue) -> int:
    """Runs until it is stopped or fails; returns the exit code (see streams.group.process)."""
    return await process.run("quotas", partial(_work, settings, catalogue))


async def _work(settings: QuotasSettings, catalogue: Catalogue) -> None:
    worker: QuotasWorker | None = None

    async def problems() -> dict[str, str]:
        if worker is None:
            return {"quotas": "is starting"}
        return worker.problems()

    async def look() -> None:
        if worker is not None:
            await worker.lag.look()

    async with health_server(
        settings.health_host,
        settings.health_port,
        problems,
        process="quotas",
        parts=PARTS,
        look=look,
    ):
        with own_folder(settings.folder, worker="quotas", setting="WEIR_QUOTAS_DIR"):
            topics, ends = await process.from_kafka(
                partial(described_with_ends, settings, NEEDED, settings.group, QUOTA_ACCOUNTS)
            )
            forget_other_changelog(settings.folder, topics[QUOTA_ACCOUNTS.name].topic_id)
            forget_unusable(settings.folder, ends)
            worker = QuotasWorker(settings, catalogue, topics)
            await process.run_worker("quotas", worker, settings.group, for_good=(UnreadableValue,))
