"""The social worker as a process."""

from datetime import UTC, datetime
from functools import partial
from typing import Final

from schemas.media import MediaNotUsable
from streams.group import process
from streams.group.folder import own_folder
from streams.group.topics import described_for
from streams.health import health_server
from streams.social.generator import opened_generator
from streams.social.settings import SocialSettings
from streams.social.topics import NEEDED
from streams.social.worker import SocialWorker

PARTS: Final = ("social", "kafka", "openai")


async def run(settings: SocialSettings) -> int:
    """Runs until it is stopped or fails; returns the exit code (see streams.group.process)."""
    return await process.run("social", partial(_work, settings))


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def _work(settings: SocialSettings) -> None:
    worker: SocialWorker | None = None

    async def problems() -> dict[str, str]:
        if worker is None:
            return {"social": "is starting"}
        return worker.problems()

    async def look() -> None:
        if worker is not None:
            await worker.lag.look()

    async with health_server(
        settings.health_host,
        settings.health_port,
        problems,
        process="social",
        parts=PARTS,
        look=look,
    ):
        with own_folder(settings.folder, worker="social", setting="WEIR_SOCIAL_DIR"):
            topics = await process.from_kafka(
                partial(described_for, settings, NEEDED, settings.group)
            )
            try:
                async with opened_generator(settings, _utc_now) as generator:
                    worker = SocialWorker(settings, generator, topics)
                    await process.run_worker("social", worker, settings.group)
            except MediaNotUsable as error:
                raise process.WorkerFailed(str(error)) from None
