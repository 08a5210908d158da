"""Counts posts in the making, how long each takes, and what becomes of it."""

from collections.abc import Awaitable, Callable
from time import monotonic

from schemas.generation import GenerationResult
from schemas.metrics.instruments import counter, gauge, histogram
from schemas.metrics.social import GENERATION_DURATION, GENERATIONS, IN_FLIGHT
from streams.social.generator import Outcome


async def measured(make: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """The outcome that `make` leads to; one that was found was counted when it was decided."""
    began = monotonic()
    gauge(IN_FLIGHT).inc()
    try:
        outcome = await make()
    finally:
        gauge(IN_FLIGHT).dec()
    if not outcome.found:
        counter(GENERATIONS, _kind(outcome.result)).inc()
        histogram(GENERATION_DURATION).observe(monotonic() - began)
    return outcome


def _kind(result: GenerationResult) -> str:
    if result.state == "done" and result.credits_refunded:
        return "partly"
    return result.state
