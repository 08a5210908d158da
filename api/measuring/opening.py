"""What measures the edge while it runs: the metrics' server and the heartbeats."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import structlog

from api.health import PARTS, not_ready
from api.measuring.heartbeats import Heartbeats
from api.measuring.serving import metrics_server
from api.settings import ApiSettings
from api.state import State
from schemas.metrics.edge import HEARTBEAT_AGE, OWN_EVENTS, OWN_EVENTS_BUFFERED
from schemas.metrics.exposition import Exposition
from schemas.metrics.instruments import at_scrape

log = structlog.get_logger()

Became = Callable[[str], int]
"""How many events had this outcome; or are `buffered`."""

_OUTCOMES: Final = ("sent", "rejected", "dropped", "skipped", "sampled_out")


@asynccontextmanager
async def opened_measuring(
    settings: ApiSettings, state: State, own_events: Became | None
) -> AsyncIterator[None]:
    """Runs as long as the block does. `own_events`: those of WEIR_SELF_ANALYTICS, if there are any.

    Raises MetricsNotServed.
    """
    at_scrape(HEARTBEAT_AGE, dict)
    _show_own_events(own_events)

    async def problems() -> dict[str, str]:
        return await not_ready(
            state["publisher"],
            state["replies"],
            state["posts"],
            state["clickhouse"],
            state["migrations"],
            state["authenticator"],
        )

    exposition = Exposition("api", PARTS, problems)
    async with metrics_server(settings.metrics_host, settings.metrics_port, exposition):
        if not settings.heartbeat_seconds:
            yield
            return
        heartbeats = Heartbeats(
            state["publisher"],
            state["clickhouse"],
            every=settings.heartbeat_seconds,
            clock=state["clock"],
        )
        beating = asyncio.create_task(heartbeats.run())
        beating.add_done_callback(_say_why)
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)


def _say_why(beating: asyncio.Task[None]) -> None:
    if not beating.cancelled() and (error := beating.exception()) is not None:
        log.error("heartbeats ended", error=type(error).__name__, exc_info=error)


def _show_own_events(became: Became | None) -> None:
    count = became or (lambda _: 0)
    at_scrape(OWN_EVENTS, lambda: {(outcome,): count(outcome) for outcome in _OUTCOMES})
    at_scrape(OWN_EVENTS_BUFFERED, lambda: {(): count("buffered")})
