"""The process ends cleanly, and answers what is not HTTP as it answers everything."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Self
from urllib.parse import urlsplit

import aiohttp
import orjson
import pytest
import pytest_asyncio
from multidict import CIMultiDict, CIMultiDictProxy

from api.serving import MAX_HEAD_BYTES
from deploy.local.managed_process import ManagedProcess
from deploy.local.ports import free_port
from tests.api.log_of_topics import LogOfTopics
from tests.api.requests import EVENTS, Answer, ask, post
from tests.services import Services
from tests.weir import Weir, throwaway_weir

pytestmark = pytest.mark.services

SERVE = "from api.serving import serve; from api.settings import ApiSettings; serve(ApiSettings())"


async def served(weir: Weir) -> ManagedProcess:
    port = free_port()
    weir.url = f"http://127.0.0.1:{port}"
    process = weir.process(["-c", SERVE, "serve"], {"WEIR_API_PORT": str(port)})
    await weir.eventually(weir.api_ready, process=process)
    return process


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def serving(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Weir]:
    async with throwaway_weir(services, tmp_path_factory.mktemp("serving")) as own:
        await served(own)
        yield own


class Connection:
    """A connection to the API, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, weir: Weir) -> Self:
        parts = urlsplit(weir.url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port))

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self) -> Answer | None:
        """The one answer, after which the server must close; None when it only closes."""
        try:
            async with asyncio.timeout(10):
                received = await self._reader.read()
        except ConnectionError:
            return None
        finally:
            self._writer.close()
        if not received:
            return None
        head, _, body = received.partition(b"\r\n\r\n")
        status, *lines = head.decode().splitlines()
        headers: CIMultiDict[str] = CIMultiDict()
        for line in lines:
            name, _, value = line.partition(": ")
            headers[name] = value
        return Answer(int(status.split()[1]), CIMultiDictProxy(headers), body)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /analytics/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["long URL", "URL in bytes", "version", "TLS", "length", "smuggling"],
)
async def test_what_is_not_http(serving: Weir, request_bytes: bytes) -> None:
    connection = await Connection.to(serving)
    await connection.send(request_bytes)
    answer = await connection.answer()
    if answer is not None:
        assert "HTTP/1.1" in answer.problem(400)["detail"]
    assert (await ask(serving, "GET", "/healthz")).status == 200


async def test_a_head_without_end_is_cut_off(serving: Weir) -> None:
    connection = await Connection.to(serving)
    await connection.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ")
    with suppress(ConnectionError):
        for _ in range(100):
            await connection.send(b"y" * 65_536)
    answer = await connection.answer()
    # The reset may overtake the answer, since the client has sent more than was read.
    if answer is not None:
        assert str(MAX_HEAD_BYTES) in answer.problem(431)["detail"]


async def test_a_head_of_many_pieces_is_read(serving: Weir) -> None:
    connection = await Connection.to(serving)
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: %b\r\n\r\n"
    for byte in head % (b"y" * 300):
        await connection.send(bytes([byte]))
    answer = await connection.answer()
    assert answer is not None
    assert answer.json == {"status": "ok"}


async def half_sent(weir: Weir) -> tuple[Connection, bytes]:
    """A request of which the server has only a part, and the rest of it."""
    event = orjson.dumps({"event_type": "page_view", "path": "/half"})
    connection = await Connection.to(weir)
    head = f"POST {EVENTS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(event)}\r\n\r\n"
    await connection.send(head.encode() + event[:10])
    return connection, event[10:]


async def test_it_finishes_what_is_under_way_and_ends_with_0(weir: Weir) -> None:
    process = await served(weir)
    acknowledged: list[str] = []

    async def client() -> None:
        with suppress(aiohttp.ClientError):
            while True:
                answer = await post(weir, {"event_type": "page_view", "path": "/load"})
                assert answer.status == 202
                acknowledged.append(answer.json["event_id"])

    clients = [asyncio.create_task(client()) for _ in range(20)]
    halves = [await half_sent(weir) for _ in range(10)]
    goal = len(acknowledged) + 200
    await weir.eventually(partial(reached, acknowledged, goal), process=process)
    start = monotonic()
    process.terminate()
    # It no longer listens, and the rest of the requests comes only now.
    await weir.eventually(partial(refuses, weir))
    for connection, rest in halves:
        await connection.send(rest)
    for connection, _ in halves:
        answer = await connection.answer()
        assert answer is not None
        assert answer.status == 202
        acknowledged.append(answer.json["event_id"])
    assert await process.wait() == 0
    assert monotonic() - start < 5
    await asyncio.gather(*clients)
    async with LogOfTopics(weir) as log:
        published = await log.since(dict.fromkeys(await log.ends(), 0))
    ids = {orjson.loads(record.value or b"")["event_id"] for _, record in published}
    assert set(acknowledged) <= ids


async def reached(acknowledged: list[str], goal: int) -> bool:
    return len(acknowledged) >= goal


async def refuses(weir: Weir) -> bool:
    try:
        await Connection.to(weir)
    except ConnectionRefusedError:
        return True
    return False


async def test_a_client_that_never_finishes_does_not_keep_it_from_ending(weir: Weir) -> None:
    process = await served(weir)
    connection, _ = await half_sent(weir)
    assert (await ask(weir, "GET", "/healthz")).status == 200
    start = monotonic()
    process.terminate()
    assert await process.wait() == 0
    assert monotonic() - start < 5
    await connection.answer()
