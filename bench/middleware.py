"""The middleware: requests through it against requests without, in pairs."""

from collections.abc import Callable
from pathlib import Path

import orjson

from bench.edge import CONNECTIONS, EVENT
from bench.paired_load import paired_load
from deploy.local.managed_process import ManagedProcess
from deploy.local.ports import free_port
from tests.weir import Weir

WINDOWS = 40


async def against_none(weir: Weir, folder: Path, say: Callable[[str], None]) -> None:
    """(f) requests a second of a full host, and p50 of a host that one client asks.

    The host is the empty endpoint of (a), alone and with the middleware that sends to a running
    Weir by HTTP. The client and all of Weir run beside it on the same machine.
    """
    api = await weir.start_api()
    target = weir.url
    hosts: list[tuple[str, ManagedProcess]] = []
    for url in ("", target):
        port = free_port()
        weir.url = f"http://127.0.0.1:{port}"
        process = weir.process(
            ["-m", "bench.middleware_host"], {"WEIR_API_PORT": str(port), "WEIR_URL": url}
        )
        await weir.eventually(weir.api_ready, process=process)
        hosts.append((f"{weir.url}/analytics/events", process))
    body = orjson.dumps(EVENT)
    urls = (hosts[0][0], hosts[1][0])
    full = await paired_load(
        urls, body, connections=CONNECTIONS, windows=WINDOWS, seconds=1, folder=folder
    )
    calm = await paired_load(urls, body, connections=1, windows=WINDOWS, seconds=0.5, folder=folder)
    _, counts = await weir.get("/counts")
    say(
        f"(f) the middleware, HTTP transport: {full.rate_b:,.0f} requests/s through it, "
        f"{full.rate_a:,.0f} without: {full.ratio - 1:+.1%} (asked: at most -5 %)"
    )
    say(
        f"    p50 of one client: {calm.p50_b * 1000:.0f} µs through it, "
        f"{calm.p50_a * 1000:.0f} µs without: {calm.p50_difference * 1000:+.0f} µs "
        "(asked: at most +50)"
    )
    say(
        f"    of {counts['recorded']:,} recorded {counts['sent']:,} are sent "
        f"and {counts['dropped']:,} dropped"
    )
    for process in (api, *(each for _, each in hosts)):
        await process.stop()
