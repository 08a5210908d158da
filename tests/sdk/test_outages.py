"""A host under load does not notice that Weir stops, starts and becomes slow."""

import asyncio
from functools import partial
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

import aiohttp
import orjson
import psutil
import pytest

from deploy.local.ports import free_port
from tests.sdk.slow_proxy import SlowProxy
from tests.weir import Weir, all_taken

SECONDS = 60
CONNECTIONS = 4
MAX_GROWTH_BYTES = 60_000_000
"""Above what it had after its first seconds: a full buffer of 10,000 page views, and a batch."""


class Load:
    """Asks the host without a pause and remembers what was not answered well."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.asked = 0
        self.failures: list[object] = []
        self.slowest = 0.0
        self.over = False

    async def run(self, session: aiohttp.ClientSession) -> None:
        while not self.over:
            self.asked += 1
            began = monotonic()
            try:
                async with session.get(self._url) as answer:
                    await answer.read()
                    if answer.status != 200:
                        self.failures.append(answer.status)
            except aiohttp.ClientError as error:
                self.failures.append(error)
            self.slowest = max(self.slowest, monotonic() - began)


@pytest.mark.services
@pytest.mark.timeout(240)
async def test_a_host_answers_all_while_weir_stops_starts_and_is_slow(
    weir: Weir, tmp_path: Path
) -> None:
    api = await weir.start_api()
    sink = weir.start_sink()
    port = free_port()
    async with SlowProxy(lambda: urlsplit(weir.url).port or 0).running() as proxy:
        host = weir.process(
            [
                *("-m", "tests.sdk.watched_host", str(port)),
                f"http://127.0.0.1:{proxy.port}",
                str(tmp_path),
            ]
        )
        url = f"http://127.0.0.1:{port}/watched"
        async with aiohttp.ClientSession() as session:
            await weir.eventually(partial(_answers, session, url), process=host)
            load = Load(url)
            loads = [asyncio.create_task(load.run(session)) for _ in range(CONNECTIONS)]
            memory = psutil.Process(host.pid)
            began = monotonic()
            await _until(began + SECONDS * 0.15)
            at_first = _resident(memory)
            peak = at_first
            for share, change in (
                (0.35, api.stop),
                (0.50, weir.start_api),
                (0.75, partial(_set_delay, proxy, 10.0)),
                (1.00, partial(_set_delay, proxy, 0.0)),
            ):
                await change()
                while monotonic() < began + SECONDS * share:
                    peak = max(peak, _resident(memory))
                    await asyncio.sleep(0.2)
            load.over = True
            await asyncio.gather(*loads)
        await host.stop(30)
    assert load.failures == []
    assert load.slowest < 2
    assert peak - at_first < MAX_GROWTH_BYTES

    counts = orjson.loads((tmp_path / "counts.json").read_bytes())
    confirmed = (tmp_path / "confirmed").read_text().split()
    # One request of the test's own asked whether the host was there.
    assert counts["recorded"] == load.asked + 1
    assert counts["recorded"] == counts["sent"] + counts["dropped"]
    assert counts["dropped"] > 0
    assert counts["sent"] == len(confirmed) == len(set(confirmed))

    await weir.eventually(partial(all_taken, weir), process=sink)
    stored = [str(each) for (each,) in weir.query("SELECT event_id FROM events")]
    assert len(stored) == len(set(stored))
    assert set(confirmed) <= set(stored)
    assert len(stored) - len(confirmed) <= counts["in_doubt"]
    assert await weir.summary() == {"/watched": len(stored)}


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def _set_delay(proxy: SlowProxy, seconds: float) -> None:
    proxy.delay = seconds


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - monotonic()))


def _resident(process: psutil.Process) -> int:
    return int(process.memory_info().rss)
