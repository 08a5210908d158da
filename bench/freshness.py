"""From the 202 to being counted in the summary."""

import asyncio
from collections.abc import Callable
from time import perf_counter
from uuid import uuid4

from tests.weir import Weir

SAMPLES = 200


async def until_counted(weir: Weir, say: Callable[[str], None]) -> None:
    """(d) one event after another, each awaited in the summary of its own hour."""
    api = await weir.start_api()
    sink = weir.start_sink()
    took = []
    for number in range(SAMPLES + 5):
        path = f"/fresh/{uuid4()}"
        status, answer = await weir.post(
            "/analytics/events", {"event_type": "page_view", "path": path}
        )
        if status != 202:
            raise RuntimeError(str(answer))
        accepted = perf_counter()
        while path not in await weir.summary():
            if perf_counter() - accepted > 30:
                raise RuntimeError("not counted within 30 s")
            await asyncio.sleep(0.005)
        # The first few find the sink still joining its group.
        if number >= 5:
            took.append(perf_counter() - accepted)
    took.sort()
    say(
        f"(d) from the 202 to the summary: p50 {took[len(took) // 2] * 1000:.0f} ms, "
        f"p99 {took[len(took) * 99 // 100] * 1000:.0f} ms, slowest {took[-1] * 1000:.0f} ms "
        "(asked: p99 at most 1 s)"
    )
    await asyncio.gather(api.stop(), sink.stop())
