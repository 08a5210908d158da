"""A worker as a process: starts, says that it is ready, stops on a signal, ends when it fails."""

import asyncio
import contextlib
import gc
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final, NoReturn, Protocol, TypeVar

import structlog
from aiokafka.errors import KafkaError

from streams.group.folder import FolderNotUsable
from streams.group.lease import LeaseOver
from streams.health import NotListening
from streams.readiness import notify
from streams.stop_signals import stop_signals

log = structlog.get_logger()

ELECTED_SECONDS: Final = 60.0
STATUS_SECONDS: Final = 1.0
EX_TEMPFAIL: Final = 75
"""The exit code that asks for another start (sysexits.h)."""

_Found = TypeVar("_Found")


class WorkerFailed(Exception):
    """The worker cannot go on; the message says why and what to do."""


class Interrupted(WorkerFailed):
    """The worker cannot go on as it is, and can when it starts anew."""


class Worker(Protocol):
    """A member of a group, which may fail at any time."""

    async def start(self) -> None:
        """Joins the group."""

    async def assigned(self) -> None:
        """Returns when it has its partitions, with what their tables say."""

    def remaining_changes(self) -> int:
        """Changes of its tables that are to be read before that; 0: all are there."""

    async def wait_failed(self) -> None:
        """Raises why it cannot go on."""

    async def stop(self) -> bool:
        """Leaves the group; False: not in time."""


async def run(name: str, work: Callable[[], Awaitable[None]]) -> int:
    """Runs until SIGTERM or SIGINT (exit code 0), until it must start anew (75), or a failure (1).

    Whoever started it starts it again after 75, with nothing changed.
    """
    for library in ("faust", "mode"):
        # What lasts ends the worker, which says why; the rest is how Faust gets there.
        logging.getLogger(library).setLevel(logging.CRITICAL)
    code = 0
    with stop_signals() as stop:
        stopping = asyncio.create_task(stop.wait())
        working = asyncio.ensure_future(work())
        try:
            await asyncio.wait({stopping, working}, return_when=asyncio.FIRST_COMPLETED)
            notify("STOPPING=1")
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await working
        except WorkerFailed as error:
            sys.stderr.write(f"weir {name}: {error}\n")
            code = EX_TEMPFAIL if isinstance(error, Interrupted) else 1
        except (NotListening, FolderNotUsable) as error:
            sys.stderr.write(f"weir {name}: {error}\n")
            code = 1
        stopping.cancel()
    log.info("worker stopped", worker=name)
    return code


async def run_worker(
    name: str, worker: Worker, group: str, *, for_good: tuple[type[Exception], ...] = ()
) -> None:
    """Runs the worker until it fails or is cancelled. Raises WorkerFailed.

    `for_good`: failures that another start does not mend.
    """
    ready = asyncio.create_task(_say_when_ready(name, worker, group))
    try:
        await worker.start()
        # What is there now stays; a collector that looks at it again only delays messages.
        gc.freeze()
        gc.set_threshold(200_000, 20, 100)
        await worker.wait_failed()
    except LeaseOver as error:
        # Not even what the producer holds may leave any more.
        _end_at_once(name, _interrupted(error))
    except for_good as error:
        raise WorkerFailed(str(error)) from error
    except Exception as error:
        raise _interrupted(error) from error
    finally:
        ready.cancel()
        failure = sys.exception()
        if not await worker.stop():
            _end_at_once(name, failure)


async def from_kafka(ask: Callable[[], Awaitable[_Found]]) -> _Found:
    """What `ask` finds, once there are leaders and a coordinator. Raises Interrupted."""
    deadline = monotonic() + ELECTED_SECONDS
    while True:
        try:
            return await ask()
        except KafkaError as error:
            if monotonic() > deadline:
                raise _interrupted(error) from None
            await asyncio.sleep(0.5)


def _interrupted(error: Exception) -> Interrupted:
    return Interrupted(
        f"{type(error).__name__}: {error}. Nothing is lost: start it again, and what was not "
        "done is done then"
    )


def _end_at_once(name: str, failure: BaseException | None) -> NoReturn:
    """Ends the process, its threads and what Faust still waits for."""
    code = 0 if isinstance(failure, asyncio.CancelledError) else EX_TEMPFAIL
    if code:
        sys.stderr.write(f"weir {name}: {failure}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def _say_when_ready(name: str, worker: Worker, group: str) -> None:
    assigned = asyncio.ensure_future(worker.assigned())
    try:
        while not (await asyncio.wait({assigned}, timeout=STATUS_SECONDS))[0]:
            # A table may take minutes: who waits for the worker sees that it goes on.
            if left := worker.remaining_changes():
                notify(f"STATUS=reading its table, {left:,} changes to go")
    finally:
        assigned.cancel()
    notify("READY=1")
    log.info("worker ready", worker=name, group=group)
