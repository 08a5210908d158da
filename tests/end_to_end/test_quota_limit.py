"""However many ask at once, and wherever, a limit is met exactly and never exceeded."""

import asyncio
from collections import Counter
from time import monotonic
from uuid import uuid4

import aiohttp
import pytest

from tests.weir import Weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]

REQUESTS = 1_000
LIMIT = 100


async def test_a_thousand_at_once_over_two_api_processes_get_exactly_what_there_is(
    weir: Weir,
) -> None:
    # How many are answered in which time is for `make bench`: here all are waited for.
    settings = {"WEIR_QUOTA_TIMEOUT": "30", "WEIR_RATE_LIMIT_USER": ""}
    await weir.keep(weir.start_quotas)
    urls = []
    for _ in range(2):
        await weir.start_api(settings)
        urls.append(weir.url)
    await weir.eventually(weir.decides)

    slowest = 0.0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def spend(number: int) -> int:
            nonlocal slowest
            start = monotonic()
            async with session.post(
                f"{urls[number % 2]}/api/user/plan",
                json={"count": 1},
                headers={"Idempotency-Key": str(uuid4())},
            ) as answer:
                await answer.read()
                slowest = max(slowest, monotonic() - start)
                return answer.status

        answers = Counter(await asyncio.gather(*map(spend, range(REQUESTS))))
    print(f"slowest of {REQUESTS:,} at once: {slowest:.2f} s")
    assert answers == {200: LIMIT, 403: REQUESTS - LIMIT}
    for url in urls:
        weir.url = url
        _, plan = await weir.get("/api/user/plan")
        assert (plan["quota_used"], plan["limit"], plan["remaining"]) == (LIMIT, LIMIT, 0)
