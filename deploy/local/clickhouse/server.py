"""ClickHouse's HTTP interface as an ASGI application."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import Final, TypeVar
from urllib.parse import urlsplit

import structlog
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from deploy.local.clickhouse.admission import Admission
from deploy.local.clickhouse.answers import Answer
from deploy.local.clickhouse.bodies import Body, ClientLeftError, read_body
from deploy.local.clickhouse.compression import Compressor, compressor
from deploy.local.clickhouse.engine import Engine
from deploy.local.clickhouse.errors import ClickHouseError, refusal
from deploy.local.clickhouse.replies import Reply
from deploy.local.clickhouse.requests import Target, parse_question, parse_target
from deploy.local.clickhouse.settings import EmbeddedClickHouseSettings

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
# Between two attempts to cancel a query whose client left.
_KILL_PAUSE: Final = 0.2
# From the last byte of a broken-off answer to the end of its connection.
_LINGER: Final = 0.2

_T = TypeVar("_T")
_log: Final = structlog.get_logger()


class QueryEndpoint:
    """Answers queries and inserts: `/`, by GET and POST."""

    def __init__(
        self, engine: Engine, settings: EmbeddedClickHouseSettings, workers: Executor
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._workers = workers
        self._admission = Admission(
            at_once=settings.connections,
            waiting=settings.max_waiting,
            timeout=settings.wait_timeout,
        )
        self._running: set[str] = set()
        self._base_headers = {
            "X-ClickHouse-Server-Display-Name": engine.host,
            "X-ClickHouse-Timezone": engine.timezone,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        headers = Headers(scope=scope)
        reply = Reply(send, dict(self._base_headers))
        try:
            _refuse_other_sites(headers)
            readonly = scope["method"] != "POST"
            target = parse_target(scope["query_string"], headers, readonly=readonly)
            reply.headers["X-ClickHouse-Query-Id"] = target.query_id
            if readonly and "query" not in target.parameters:
                await reply.whole(200, b"Ok.\n", "text/html; charset=UTF-8")
                return
            async with self._admission.place():
                await self._read_and_answer(target, receive, reply)
        except ClickHouseError as error:
            _log.debug("refused", code=error.code, path=scope["path"])
            await reply.error(error, self._engine.version)
        except ClientLeftError:
            _log.debug("client left")
        except OSError as error:
            # A full disk, most likely: a large body waits in a file.
            _log.error("request failed", reason=str(error))
            if reply.begun:
                raise
            await reply.error(
                refusal(
                    1001, "STD_EXCEPTION", f"{error.strerror}: look at the disk of the server."
                ),
                self._engine.version,
            )

    async def _read_and_answer(self, target: Target, receive: Receive, reply: Reply) -> None:
        try:
            body = await read_body(
                receive,
                folder=self._settings.folder,
                stall=self._settings.body_timeout,
                limit=self._settings.max_body,
            )
        except ClickHouseError:
            # What of the body comes later is not to be taken for the next request.
            reply.headers["Connection"] = "close"
            raise
        try:
            left = asyncio.create_task(_until_left(receive))
            try:
                await self._take_turn(target, body, left, reply)
            finally:
                left.cancel()
        finally:
            body.close()

    async def _take_turn(
        self, target: Target, body: Body, left: asyncio.Task[None], reply: Reply
    ) -> None:
        if target.query_id in self._running:
            raise refusal(
                216,
                "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
                f"Query with id = {target.query_id} is already running.",
            )
        self._running.add(target.query_id)
        try:
            async with self._admission.turn():
                if left.done():
                    raise ClientLeftError
                await self._answer(target, body, left, reply)
        finally:
            self._running.discard(target.query_id)

    async def _answer(
        self, target: Target, body: Body, left: asyncio.Task[None], reply: Reply
    ) -> None:
        encoding = target.encoding
        encoder = compressor(encoding) if encoding else None
        run = _Run(self._engine, target, body, encoder)
        try:
            head = await self._unless_left(run, run.begin, left)
            answer = run.answer
            reply.describe(answer.progress, answer.format, encoding if head else None)
            if answer.complete:
                await reply.whole(200, head)
                return
            await reply.begin(head)
            more = True
            while more:
                piece, more = await self._unless_left(run, run.next, left)
                async with asyncio.timeout(self._settings.send_timeout):
                    await reply.more(piece)
            await reply.end()
        except TimeoutError:
            # Without `end` here too: the connection is closed.
            _log.warning("client reads nothing", seconds=self._settings.send_timeout)
        except ClickHouseError as error:
            if not reply.begun:
                raise
            _log.debug("broken off", code=error.code)
            # Without `end`: the server closes the connection in mid-answer, which clients that
            # know nothing of exception tags see too.
            await reply.more(run.encode_last(reply.exception_block(error, self._engine.version)))
            # Some clients drop what they have not read yet when the connection ends.
            await asyncio.wait({left}, timeout=_LINGER)
        finally:
            await self._in_worker(run.close)

    async def _unless_left(
        self, run: "_Run", work: Callable[[], _T], left: asyncio.Task[None]
    ) -> _T:
        """The result of work in a thread; if the client leaves meanwhile, it is cancelled."""
        future = asyncio.ensure_future(self._in_worker(work))
        try:
            await asyncio.wait({future, left}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # The process stops: a write that nobody was told of yet may end half-way.
            await self._kill(run, future, writes_too=True)
            raise
        if future.done():
            return future.result()
        await self._kill(run, future, writes_too=False)
        raise ClientLeftError

    async def _kill(self, run: "_Run", future: asyncio.Future[_T], *, writes_too: bool) -> None:
        """Cancel until the thread has come back: only then may its connection be closed."""
        while not future.done():
            if run.reads_only or (writes_too and run.has_begun):
                with suppress(ClickHouseError):
                    await asyncio.to_thread(run.cancel)
            await asyncio.wait({future}, timeout=_KILL_PAUSE)
        with suppress(ClickHouseError):
            future.result()

    def _in_worker(self, work: Callable[[], _T]) -> Awaitable[_T]:
        return asyncio.get_running_loop().run_in_executor(self._workers, work)


class _Run:
    """The part of a request that works in threads: parse, run, compress."""

    def __init__(
        self, engine: Engine, target: Target, body: Body, encoder: Compressor | None
    ) -> None:
        self._engine = engine
        self._target = target
        self._body = body
        self._encoder = encoder
        self._answer: Answer | None = None

    @property
    def answer(self) -> Answer:
        """The answer, there once it has begun."""
        if self._answer is None:
            raise RuntimeError("the answer has not begun")
        return self._answer

    @property
    def has_begun(self) -> bool:
        """Whether there is something to cancel."""
        return self._answer is not None

    @property
    def reads_only(self) -> bool:
        """Whether it may end because nobody waits for it: a SELECT, never a write."""
        return self._answer is not None and self._answer.reads_only

    def begin(self) -> bytes:
        question = parse_question(self._target, self._body.pieces())
        self._answer = Answer(self._engine, question, self._target.query_id)
        return self._encode(self._answer.begin())

    def next(self) -> tuple[bytes, bool]:
        """The next piece, and whether more will come."""
        piece = self._encode(self.answer.next() or b"")
        return piece, not self.answer.complete

    def cancel(self) -> None:
        self.answer.cancel()

    def close(self) -> None:
        if self._answer is not None:
            self._answer.close()

    def encode_last(self, data: bytes) -> bytes:
        """Data after which nothing follows."""
        if self._encoder is None:
            return data
        return self._encoder.compress(data) + self._encoder.flush()

    def _encode(self, data: bytes) -> bytes:
        if self._encoder is None or not (data or self.answer.complete):
            return data
        if self.answer.complete:
            started = data or self.answer.progress.result_bytes
            return self.encode_last(data) if started else b""
        return self._encoder.compress(data)


def _refuse_other_sites(headers: Headers) -> None:
    """A page that somebody has open must not reach the tables through the browser.

    Its requests carry its own origin; with a name that it made point here (DNS rebinding) they
    carry that name as the host.
    """
    for name, url in (
        ("Host", f"//{headers.get('host', 'localhost')}"),
        ("Origin", headers.get("origin", "//localhost")),
    ):
        try:
            host = urlsplit(url).hostname
        except ValueError:
            host = None
        if host not in _LOOPBACK:
            raise refusal(
                497,
                "ACCESS_DENIED",
                f"{name} {host or '?'!r} is not this machine: ask 127.0.0.1 or localhost.",
            )


async def _until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _ping(_: Request) -> Response:
    return PlainTextResponse("Ok.\n")


async def _no_handler(request: Request, _: Exception) -> Response:
    return PlainTextResponse(
        f"There is no handle {request.url.path}\n\nUse / or /ping for health checks.\n"
        "Send queries from your program with POST method or GET /?query=...\n",
        status_code=404,
    )


def create_app(
    engine: Engine, settings: EmbeddedClickHouseSettings, workers: Executor
) -> Starlette:
    """The application; `workers` needs a thread for each of the connections."""
    return Starlette(
        routes=[
            Route("/ping", _ping, methods=["GET", "HEAD"]),
            Route("/replicas_status", _ping, methods=["GET", "HEAD"]),
            Route("/", QueryEndpoint(engine, settings, workers), methods=["GET", "HEAD", "POST"]),
        ],
        exception_handlers={404: _no_handler},
    )
