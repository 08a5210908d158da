"""The sink as a process: starts, says that it is ready, stops on a signal."""

import asyncio
import contextlib
import gc
import sys
from time import monotonic
from typing import Final

import structlog
from aiokafka.errors import KafkaError

from schemas.server_problems import kafka_away
from streams.failures import Overloaded, Retryable
from streams.health import NotListening, health_server
from streams.readiness import notify
from streams.sink.rows import DESTINATIONS
from streams.sink.settings import SinkSettings
from streams.sink.sink import Sink
from streams.stop_signals import stop_signals

log = structlog.get_logger()

CONNECT_SECONDS: Final = 60.0
PARTS: Final = ("sink", "kafka", "clickhouse", *DESTINATIONS)


async def run(settings: SinkSettings) -> int:
    """Runs until SIGTERM or SIGINT (exit code 0) or a failure that lasts (1)."""
    with stop_signals() as stop:
        return await _run_until(stop, settings)


async def _run_until(stop: asyncio.Event, settings: SinkSettings) -> int:
    sink = Sink(settings)
    stopping = asyncio.create_task(stop.wait())
    working = asyncio.create_task(_work(sink, settings))
    try:
        await asyncio.wait({stopping, working}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
    except (SinkFailed, KafkaError) as error:
        sys.stderr.write(f"weir sink: {error}\n")
        return 1
    else:
        return 0
    finally:
        notify("STOPPING=1")
        working.cancel()
        stopping.cancel()
        with contextlib.suppress(asyncio.CancelledError, SinkFailed, KafkaError):
            await working
        await sink.stop()
        log.info("sink stopped")


class SinkFailed(Exception):
    """The sink cannot go on; the message says why and what to do."""


async def _work(sink: Sink, settings: SinkSettings) -> None:
    try:
        async with health_server(
            settings.health_host,
            settings.health_port,
            sink.problems,
            process="sink",
            parts=PARTS,
            look=sink.lag.look,
        ):
            await _run(sink, settings)
    except NotListening as error:
        raise SinkFailed(str(error)) from None


async def _connect(sink: Sink, settings: SinkSettings) -> None:
    # They were there a moment ago, when the start was looked at.
    deadline = monotonic() + CONNECT_SECONDS
    while True:
        try:
            await sink.connect()
        except (KafkaError, Retryable, Overloaded) as error:
            if monotonic() > deadline:
                why = (
                    await kafka_away(error, settings)
                    if isinstance(error, KafkaError)
                    else str(error)
                )
                raise SinkFailed(why) from None
            await asyncio.sleep(0.5)
        else:
            return


async def _run(sink: Sink, settings: SinkSettings) -> None:
    await _connect(sink, settings)
    await sink.start()
    # What is there now stays; what comes are batches of flat rows without cycles, which a
    # collector that looks at them again and again only slows down.
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
    ready = asyncio.create_task(_say_when_ready(sink, settings))
    try:
        await sink.wait_failed()
    except Exception as error:
        raise SinkFailed(
            f"{type(error).__name__}: {error}; nothing is lost, start it again when Kafka and "
            "ClickHouse are well"
        ) from error
    finally:
        ready.cancel()


async def _say_when_ready(sink: Sink, settings: SinkSettings) -> None:
    await sink.assigned.wait()
    notify("READY=1")
    log.info("sink ready", group=settings.group)
