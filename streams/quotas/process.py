"""The quotas worker as a process: starts, says that it is ready, stops on a signal."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from time import monotonic
from typing import Final, NoReturn

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from schemas.plans import Catalogue
from schemas.topics import QUOTA_ACCOUNTS
from streams.health import NotListening, health_server
from streams.quotas.encoding import UnreadableValue
from streams.quotas.folder import (
    FolderNotUsable,
    forget_other_changelog,
    forget_unusable,
    own_folder,
)
from streams.quotas.lease import LeaseOver
from streams.quotas.log_reader import LogReader
from streams.quotas.settings import QuotasSettings
from streams.quotas.topics import Description, TopicsNotUsable, described
from streams.quotas.worker import QuotasWorker
from streams.readiness import notify

log = structlog.get_logger()

CONNECT_SECONDS: Final = 60.0
EX_TEMPFAIL: Final = 75
"""The exit code that asks for another start (sysexits.h)."""


class WorkerFailed(Exception):
    """The worker cannot go on; the message says why and what to do."""


class Interrupted(WorkerFailed):
    """The worker cannot go on as it is, and can when it starts anew."""


async def run(settings: QuotasSettings, catalogue: Catalogue) -> int:
    """Runs until SIGTERM or SIGINT (exit code 0), until it must start anew (75), or a failure (1).

    Whoever started it starts it again after 75, with nothing changed.
    """
    for library in ("faust", "mode"):
        # What lasts ends the worker, which says why; the rest is how Faust gets there.
        logging.getLogger(library).setLevel(logging.CRITICAL)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait())
    working = asyncio.create_task(_work(settings, catalogue))
    code = 0
    try:
        await asyncio.wait({stopping, working}, return_when=asyncio.FIRST_COMPLETED)
        notify("STOPPING=1")
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
    except WorkerFailed as error:
        sys.stderr.write(f"weir quotas: {error}\n")
        code = EX_TEMPFAIL if isinstance(error, Interrupted) else 1
    stopping.cancel()
    log.info("quotas worker stopped")
    return code


async def _work(settings: QuotasSettings, catalogue: Catalogue) -> None:
    worker: QuotasWorker | None = None

    async def problems() -> dict[str, str]:
        if worker is None:
            return {"quotas": f"waits for Kafka at {settings.bootstrap_servers}"}
        return worker.problems()

    try:
        async with health_server(
            settings.health_host, settings.health_port, problems, setting="WEIR_QUOTAS_PORT"
        ):
            with own_folder(settings.folder):
                topics, ends = await _kafka(settings)
                forget_other_changelog(settings.folder, topics[QUOTA_ACCOUNTS.name].topic_id)
                forget_unusable(settings.folder, ends)
                worker = QuotasWorker(settings, catalogue, topics)
                await _run(worker, settings)
    except (NotListening, FolderNotUsable) as error:
        raise WorkerFailed(str(error)) from None


async def _run(worker: QuotasWorker, settings: QuotasSettings) -> None:
    ready = asyncio.create_task(_say_when_ready(worker, settings))
    try:
        await worker.start()
        # What is there now stays; a collector that looks at it again only delays commands.
        gc.freeze()
        gc.set_threshold(200_000, 20, 100)
        await worker.wait_failed()
    except LeaseOver as error:
        # Not even what the producer holds may leave any more.
        _end_at_once(_interrupted(error))
    except UnreadableValue as error:
        raise WorkerFailed(str(error)) from error
    except Exception as error:
        raise _interrupted(error) from error
    finally:
        ready.cancel()
        failure = sys.exception()
        if not await worker.stop():
            _end_at_once(failure)


def _interrupted(error: Exception) -> Interrupted:
    return Interrupted(
        f"{type(error).__name__}: {error}. Nothing is lost: start it again, and what was not "
        "answered is decided then"
    )


def _end_at_once(failure: BaseException | None) -> NoReturn:
    """Ends the process, its threads and what Faust still waits for."""
    code = 0 if isinstance(failure, asyncio.CancelledError) else EX_TEMPFAIL
    if code:
        sys.stderr.write(f"weir quotas: {failure}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def _say_when_ready(worker: QuotasWorker, settings: QuotasSettings) -> None:
    await worker.assigned()
    notify("READY=1")
    log.info("quotas worker ready", group=settings.group)


async def _kafka(settings: QuotasSettings) -> tuple[dict[str, Description], dict[int, int]]:
    """The topics and the changelog's ends, once Kafka and the group's coordinator answer.

    Raises WorkerFailed.
    """
    deadline = monotonic() + CONNECT_SECONDS
    while True:
        try:
            return await _described(settings)
        except TopicsNotUsable as error:
            raise WorkerFailed(str(error)) from None
        except KafkaError as error:
            if monotonic() > deadline:
                raise WorkerFailed(
                    f"Kafka at {settings.bootstrap_servers} cannot be reached "
                    f"({type(error).__name__}); check KAFKA_BOOTSTRAP_SERVERS"
                ) from None
            await asyncio.sleep(0.5)


async def _described(settings: QuotasSettings) -> tuple[dict[str, Description], dict[int, int]]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    try:
        await admin.start()
        topics = await described(admin, settings)
        # Where no group has ever been, asking for it makes the coordinator: Faust's consumer
        # would log its first answers as errors.
        await admin.find_coordinator(settings.group)
    finally:
        await admin.close()
    partitions = range(topics[QUOTA_ACCOUNTS.name].partitions)
    reader = LogReader(settings)
    try:
        return topics, await reader.ends(settings.topic(QUOTA_ACCOUNTS.name), partitions)
    finally:
        await reader.stop()
