"""API keys as clients feel them, over two API processes: what they open until they are revoked."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import aiohttp
import pytest
import pytest_asyncio

from deploy.api_keys import read_keys, write_key
from schemas.api_keys import ApiKey, Kind, create_key
from tests.api.identity.credentials import bearer, signed
from tests.services import Services
from tests.weir import Weir, throwaway_weir

pytestmark = pytest.mark.services

EVENT = {"event_type": "page_view", "path": "/"}
LIMITS = {
    "WEIR_AUTH": "required",
    "WEIR_RATE_LIMIT_KEY": "100/hour",
    "WEIR_RATE_LIMIT_USER": "2/hour",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def weir(services: Services, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Weir]:
    async with throwaway_weir(services, tmp_path_factory.mktemp("keys")) as shared:
        yield shared


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def urls(weir: Weir) -> list[str]:
    """Two API processes that ask for credentials."""
    found = []
    for _ in range(2):
        await weir.start_api(LIMITS)
        found.append(weir.url)
    return found


async def created(weir: Weir, kind: Kind) -> tuple[str, ApiKey]:
    presented, key = create_key(kind, "test", datetime.now(UTC))
    await write_key(weir.kafka, key)
    return presented, key


async def send(weir: Weir, url: str, key: str) -> aiohttp.ClientResponse:
    headers = {"Authorization": f"Bearer {key}"}
    async with weir.session.post(f"{url}/analytics/events", json=EVENT, headers=headers) as answer:
        return answer


async def ask(weir: Weir, url: str, key: str) -> aiohttp.ClientResponse:
    headers = {"Authorization": f"Bearer {key}"}
    async with weir.session.get(f"{url}/analytics/summary", headers=headers) as answer:
        return answer


async def test_a_key_opens_what_it_is_for_within_5_s_and_until_5_s_after_it_is_revoked(
    weir: Weir, urls: list[str]
) -> None:
    write, write_entry = await created(weir, "write")
    read, read_entry = await created(weir, "read")

    def answered(with_write: int, with_read: int) -> Callable[[], Awaitable[bool]]:
        async def everywhere() -> bool:
            found = [
                ((await send(weir, url, write)).status, (await ask(weir, url, read)).status)
                for url in urls
            ]
            return found == [(with_write, with_read)] * len(urls)

        return everywhere

    await weir.eventually(answered(202, 200), within=5)
    for url in urls:
        assert (await ask(weir, url, write)).status == 403
        assert (await send(weir, url, read)).status == 403
    now = datetime.now(UTC)
    for entry in (write_entry, read_entry):
        await write_key(weir.kafka, entry.model_copy(update={"revoked_at": now}))
    await weir.eventually(answered(401, 401), within=5)


async def test_a_user_who_spends_too_often_is_told_so(weir: Weir, urls: list[str]) -> None:
    headers = bearer(signed(weir, aud=None))

    async def spend() -> aiohttp.ClientResponse:
        # Counted before it is read: no worker runs here.
        async with weir.session.post(
            f"{urls[0]}/api/user/plan", json={"count": 0}, headers=headers
        ) as answer:
            return answer

    for left in (1, 0):
        answer = await spend()
        assert answer.status == 422
        assert answer.headers["RateLimit-Policy"] == '"user";q=2;w=3600'
        assert answer.headers["RateLimit"].startswith(f'"user";r={left};t=')
    answer = await spend()
    assert answer.status == 429
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["RateLimit"].startswith('"user";r=0;t=')
    assert 3_500 < int(answer.headers["Retry-After"]) <= 3_600


async def test_each_process_counts_a_keys_requests_and_says_what_is_left(
    weir: Weir, urls: list[str]
) -> None:
    key, entry = await created(weir, "write")

    async def known() -> bool:
        return (await send(weir, urls[0], key)).status == 202

    await weir.eventually(known, within=5)
    for left in range(98, -1, -1):
        answer = await send(weir, urls[0], key)
        assert answer.status == 202
        assert answer.headers["RateLimit-Policy"] == '"key";q=100;w=3600'
        assert answer.headers["RateLimit"].startswith(f'"key";r={left};t=')
    answer = await send(weir, urls[0], key)
    assert answer.status == 429
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["RateLimit"].startswith('"key";r=0;t=')
    assert 3_500 < int(answer.headers["Retry-After"]) <= 3_600
    assert (await send(weir, urls[1], key)).status == 202

    # The end of a process publishes what it knows of uses.
    for process in weir.processes:
        await process.stop(15)
    assert entry.key_id in (await read_keys(weir.kafka)).last_used
