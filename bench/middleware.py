"""The middleware: requests through it against requests without, in pairs."""

from collections.abc import Callable
from pathlib import Path

import orjson

from bench.edge import CONNECTIONS, EVENT
from bench.empty_endpoint import WORK_SECONDS
from bench.paired_load import paired_load
from deploy.local.managed_process import ManagedProcess
from deploy.local.ports import free_port
from tests.weir import Weir

WINDOWS = 40


async def against_none(weir: Weir, folder: Path, say: Callable[[str], None]) -> None:
    """(f) requests a second of a full host, and p50 of a host that one client asks.

    The host is the empty endpoint of (a), and one that has something to do, alone and with the
    middleware that sends to a running Weir by HTTP. The client and all of Weir run beside it on the
    same machine, and take from what both hosts may have; the processor time of a request, thread
    included, is the host's alone.
    """
    api = await weir.start_api()
    target = weir.url
    hosts: list[ManagedProcess] = []
    roots: list[str] = []
    for url in ("", target):
        port = free_port()
        weir.url = f"http://127.0.0.1:{port}"
        process = weir.process(
            ["-m", "bench.middleware_host"], {"WEIR_API_PORT": str(port), "WEIR_URL": url}
        )
        await weir.eventually(weir.api_ready, process=process)
        hosts.append(process)
        roots.append(weir.url)
    body = orjson.dumps(EVENT)
    urls = (f"{roots[0]}/analytics/events", f"{roots[1]}/analytics/events")
    before = [await _counts(weir, root) for root in roots]
    full = await paired_load(
        urls, body, connections=CONNECTIONS, windows=WINDOWS, seconds=1, folder=folder
    )
    after = [await _counts(weir, root) for root in roots]
    alone, through = (
        (after[each]["cpu"] - before[each]["cpu"]) / answers * 1e6
        for each, answers in enumerate((full.answers_a, full.answers_b))
    )
    calm = await paired_load(urls, body, connections=1, windows=WINDOWS, seconds=0.5, folder=folder)
    work = (f"{roots[0]}/work", f"{roots[1]}/work")
    busy = await paired_load(
        work, b"", connections=CONNECTIONS, windows=WINDOWS, seconds=1, folder=folder
    )
    counts = await _counts(weir, roots[1])
    say(
        f"(f) the middleware, HTTP transport: {full.rate_b:,.0f} requests/s through it, "
        f"{full.rate_a:,.0f} without: {full.ratio - 1:+.1%} (asked: at most -5 %)"
    )
    say(
        f"    processor time of a request: {through:.1f} µs through it, {alone:.1f} µs without: "
        f"{through - alone:+.1f} µs ({through / alone - 1:+.1%})"
    )
    say(
        f"    p50 of one client: {calm.p50_b * 1000:.0f} µs through it, "
        f"{calm.p50_a * 1000:.0f} µs without: {calm.p50_difference * 1000:+.0f} µs "
        "(asked: at most +50)"
    )
    say(
        f"    an endpoint that takes {1000 * WORK_SECONDS:.0f} ms of the processor: "
        f"{busy.rate_b:,.0f} requests/s through it, {busy.rate_a:,.0f} without: "
        f"{busy.ratio - 1:+.1%} (asked: at most -5 %)"
    )
    say(
        f"    of {counts['recorded']:,.0f} recorded {counts['sent']:,.0f} are sent "
        f"and {counts['dropped']:,.0f} dropped"
    )
    for process in (api, *hosts):
        await process.stop()


async def _counts(weir: Weir, root: str) -> dict[str, float]:
    weir.url = root
    _, found = await weir.get("/counts")
    return {name: float(value) for name, value in found.items()}
