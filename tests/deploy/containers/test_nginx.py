"""What stands before the API in containers: real nginx, before a real API."""

import asyncio
import gzip
import os
import shutil
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

import aiohttp
import orjson
import pytest
import pytest_asyncio
from aiohttp import web
from yarl import URL

from api.pages.serving import PAGES
from deploy.local.managed_process import ManagedProcess
from deploy.local.ports import free_port
from schemas.limits import MAX_EVENTS_PER_REQUEST, MAX_REQUEST_BYTES
from tests.api.identity.credentials import bearer, signed
from tests.api.pages.asked import FILES, built
from tests.deploy.containers.proxy import proxy_command
from tests.services import Services
from tests.weir import Weir, throwaway_weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]

BROWSER: Final = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PROGRAM: Final = {"Accept": "*/*"}
BY_TLS: Final = {**PROGRAM, "X-Forwarded-Proto": "https"}
# Of the connection, or of when a file was written: they say nothing of how a page is guarded.
PASSED_OVER: Final = {
    "connection", "date", "server", "etag", "last-modified", "accept-ranges", "content-length",
    "transfer-encoding",
}  # fmt: skip


@dataclass(frozen=True)
class Proxied:
    weir: Weir
    api: ManagedProcess
    url: str


async def started_proxy(
    folder: Path, weir_url: str, *, trusted: str = "10.255.255.254"
) -> tuple[ManagedProcess, str]:
    """nginx before this API, when it answers, and its URL."""
    port = free_port()
    process = ManagedProcess(
        "nginx", proxy_command(folder, port, weir_url, trusted), log=folder / "nginx.log"
    )
    process.start()
    deadline = monotonic() + 20
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            break
        except OSError:
            assert process.running, process.last_lines()
            assert monotonic() < deadline, process.last_lines()
            await asyncio.sleep(0.02)
    return process, f"http://127.0.0.1:{port}"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def proxied(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Proxied]:
    folder = tmp_path_factory.mktemp("proxied")
    pages = built(folder)
    # As the image has them: each beside its packed form, where there is one.
    assets = folder / "nginx" / "weir" / "assets"
    shutil.copytree(pages / "assets", assets)
    for file in [*assets.glob("*.js"), *assets.glob("*.css")]:
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes(), mtime=0))
    async with throwaway_weir(services, folder) as weir:
        api = await weir.start_api(
            {
                "WEIR_AUTH": "required",
                "WEIR_PAGES_DIR": str(pages),
                "FORWARDED_ALLOW_IPS": "*",
                "WEIR_OIDC_AUTHORITY": "https://login.example.com",
                "WEIR_OIDC_CLIENT_ID": "weir-pages",
            }
        )
        process, url = await started_proxy(folder / "nginx", weir.url, trusted="127.0.0.1")
        try:
            yield Proxied(weir, api, url)
        finally:
            await process.stop()


async def asked(
    url: str, path: str, headers: Mapping[str, str], method: str = "GET"
) -> tuple[int, dict[str, str], bytes]:
    async with (
        aiohttp.ClientSession(
            auto_decompress=False, skip_auto_headers=["Accept-Encoding"]
        ) as client,
        client.request(method, URL(url + path, encoded=True), headers=headers) as answer,
    ):
        body = await answer.read()
        named = {name.lower(): value for name, value in answer.headers.items()}
        if named.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        told = {name: value for name, value in named.items() if name not in PASSED_OVER}
        return answer.status, told, body


@pytest.mark.parametrize("encoding", [{}, {"Accept-Encoding": "gzip"}], ids=["plain", "packed"])
@pytest.mark.parametrize(
    ("path", "headers"),
    [
        *((path, BROWSER) for path in PAGES),
        *((f"/{name}", PROGRAM) for name in FILES),
        ("/assets/index-4f2a.js", BY_TLS),
        ("/plan", BY_TLS),
        ("/assets/gone.js", PROGRAM),
        ("/assets/gone.js", BROWSER),
        ("/assets/", PROGRAM),
        ("/assets", PROGRAM),
        ("/nope", BROWSER),
        ("/nope", PROGRAM),
        ("/plan/", BROWSER),
        ("/metrics", PROGRAM),
        ("/metrics", BROWSER),
        ("/pages/settings", PROGRAM),
        ("/api/plans", PROGRAM),
        ("/analytics/summary", PROGRAM),
        ("/healthz", PROGRAM),
        ("/assets/..%2findex.html", PROGRAM),
        ("/assets/%2e%2e/index.html", PROGRAM),
        ("//plan", PROGRAM),
    ],
)
async def test_every_answer_is_the_one_of_the_api(
    proxied: Proxied, path: str, headers: Mapping[str, str], encoding: Mapping[str, str]
) -> None:
    sent = {**headers, **encoding}
    through = await asked(proxied.url, path, sent)
    assert through == await asked(proxied.weir.url, path, sent)
    if path == "/metrics":
        assert through[0] == 404


async def test_assets_come_from_nginx_itself(proxied: Proxied) -> None:
    """Or the test before would compare the API with itself."""
    async with aiohttp.ClientSession() as client:
        async with client.get(f"{proxied.url}/assets/index-4f2a.js") as answer:
            assert "Last-Modified" in answer.headers
            etag = answer.headers["ETag"]
        known = {"If-None-Match": etag}
        async with client.get(f"{proxied.url}/assets/index-4f2a.js", headers=known) as answer:
            assert answer.status == 304
        async with client.get(f"{proxied.url}/plan") as answer:
            assert "Last-Modified" not in answer.headers


async def test_a_method_that_files_do_not_have_gets_the_api_s_answer(proxied: Proxied) -> None:
    for path in ("/assets/index-4f2a.js", "/plan"):
        through = await asked(proxied.url, path, PROGRAM, "POST")
        assert through == await asked(proxied.weir.url, path, PROGRAM, "POST")
        assert through[0] == 405


async def test_a_full_request_of_events_passes(proxied: Proxied) -> None:
    room = MAX_REQUEST_BYTES // MAX_EVENTS_PER_REQUEST - 200
    events = [
        {"event_type": "page_view", "path": f"/{number}", "metadata": {"text": "x" * room}}
        for number in range(MAX_EVENTS_PER_REQUEST)
    ]
    body = orjson.dumps(events)
    assert 0.8 * MAX_REQUEST_BYTES < len(body) <= MAX_REQUEST_BYTES
    status, answer = await posted(proxied, body)
    assert status == 202, answer
    assert answer["accepted"] == MAX_EVENTS_PER_REQUEST


@pytest.mark.parametrize("size", [MAX_REQUEST_BYTES + 1, 3 * MAX_REQUEST_BYTES])
async def test_a_body_that_is_too_large_gets_a_problem(proxied: Proxied, size: int) -> None:
    status, problem = await posted(proxied, b"[" + b" " * (size - 2) + b"]")
    assert status == 413
    assert problem["status"] == 413
    assert "send fewer events" in str(problem["detail"])


async def posted(proxied: Proxied, body: bytes) -> tuple[int, dict[str, object]]:
    headers = {
        **bearer(signed(proxied.weir, aud=None, roles=["producer"])),
        "Content-Type": "application/json",
    }
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{proxied.url}/analytics/events", data=body, headers=headers) as answer,
    ):
        problem = answer.content_type == "application/problem+json"
        assert problem == (answer.status >= 400)
        document = orjson.loads(await answer.read())
        assert isinstance(document, dict)
        return answer.status, document


async def test_live_events_are_not_held_back(proxied: Proxied) -> None:
    """The stream stays open, so that all that arrives was passed on as it came."""
    proxied.weir.start_sink()
    analyst = bearer(signed(proxied.weir, aud=None, roles=["analyst"]))
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"{proxied.url}/analytics/live", headers=analyst) as stream,
    ):
        assert stream.status == 200
        assert stream.content_type == "text/event-stream"
        assert "X-Accel-Buffering" not in stream.headers
        status, answer = await posted(proxied, b'{"event_type": "page_view", "path": "/live"}')
        assert status == 202, answer
        async with asyncio.timeout(60):
            async for line in stream.content:
                if line.startswith(b"data:") and b'"/live"' in line:
                    break
            else:
                pytest.fail("the stream ended before the event came")


@pytest.mark.parametrize(
    ("trusted", "address", "scheme"),
    [("10.255.255.254", "127.0.0.1", "http"), ("127.0.0.0/8", "203.0.113.9", "https")],
    ids=["from anybody", "from a proxy with TLS"],
)
async def test_the_api_is_told_who_asks_and_how(
    tmp_path: Path, trusted: str, address: str, scheme: str
) -> None:
    async with listening() as (url, requests):
        process, proxy = await started_proxy(tmp_path / "nginx", url, trusted=trusted)
        sent = {
            "Host": "weir.example.com",
            "X-Forwarded-For": "198.51.100.7, 203.0.113.9",
            "X-Forwarded-Proto": "https",
            "Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        }
        try:
            status, _, _ = await asked(proxy, "/any//path?x=%2F", sent)
        finally:
            await process.stop()
    assert status == 200
    [request] = requests
    assert request.raw_path == "/any//path?x=%2F"
    assert request.headers.getall("X-Forwarded-For") == [address]
    assert request.headers.getall("X-Forwarded-Proto") == [scheme]
    assert request.headers["Host"] == "weir.example.com"
    assert request.headers["Traceparent"] == sent["Traceparent"]


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[str, list[web.Request]]]:
    """A server in the place of the API that keeps what it is asked."""
    requests: list[web.Request] = []

    async def keep(request: web.Request) -> web.Response:
        requests.append(request)
        return web.Response(text="kept")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", keep)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}", requests
    finally:
        await runner.cleanup()


async def test_while_the_api_is_away_clients_are_told_to_try_again(tmp_path: Path) -> None:
    process, proxy = await started_proxy(tmp_path / "nginx", f"http://127.0.0.1:{free_port()}")
    try:
        async with aiohttp.ClientSession() as client, client.get(f"{proxy}/plan") as answer:
            assert answer.status == 503
            assert answer.content_type == "application/problem+json"
            assert answer.headers["Retry-After"] == "1"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] == "private, no-store"
            assert (await answer.json(content_type=None))["status"] == 503
    finally:
        assert await process.stop() == 0
    # Nothing about who asked is kept.
    assert "127.0.0.1" not in (tmp_path / "nginx" / "nginx.log").read_text()


async def test_it_ends_in_time_with_a_request_under_way(proxied: Proxied, tmp_path: Path) -> None:
    process, proxy = await started_proxy(tmp_path / "nginx", proxied.weir.url)
    analyst = bearer(signed(proxied.weir, aud=None, roles=["analyst"]))
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"{proxy}/analytics/live", headers=analyst) as stream,
    ):
        assert stream.status == 200
        # As the image's STOPSIGNAL says.
        os.kill(process.pid, signal.SIGQUIT)
        async with asyncio.timeout(9):
            assert await process.wait() == 0
