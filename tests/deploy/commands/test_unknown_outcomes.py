"""Commands that cost something, when what became of them is not known: they name their key."""

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web

pytestmark = pytest.mark.services

COMMANDS = {
    "grant": ("quota", "grant", "u-42", "1000"),
    "refund": ("quota", "refund", "u-42", "00000000-0000-4000-8000-000000000001"),
    "set-plan": ("quota", "set-plan", "u-42", "pro"),
    "generate": ("generate", "espresso"),
}


class Edge:
    """Hears a question, and then answers as it is told to."""

    def __init__(self, answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
        self.url = ""
        self.keys: list[str] = []
        self.heard = asyncio.Event()
        self._answer = answer

    async def hear(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        self.keys.append(request.headers["Idempotency-Key"])
        self.heard.set()
        return await self._answer(request)


async def cut(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def proxys(_: web.Request) -> web.StreamResponse:
    return web.Response(status=502, text="<h1>Bad gateway</h1>", content_type="text/html")


async def broken(_: web.Request) -> web.StreamResponse:
    return web.json_response({"detail": "something went wrong here"}, status=500)


OVER = web.AppKey("over", asyncio.Event)


async def silent(request: web.Request) -> web.StreamResponse:
    await request.app[OVER].wait()
    return web.Response()


@asynccontextmanager
async def edge(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[Edge]:
    hearing = Edge(answer)
    application = web.Application()
    application[OVER] = asyncio.Event()
    application.router.add_route("*", "/{path:.*}", hearing.hear)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hearing.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield hearing
    finally:
        application[OVER].set()
        await runner.cleanup()


async def started(url: str, folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.commands", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        # Who runs these tests in the background ignores interrupts, and so would the command.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        env={
            "WEIR_URL": url,
            "WEIR_TOKEN": "an-admins",
            "PATH": "",
            "PYTHONPATH": ":".join([str(Path.cwd()), *sys.path]),
            "COLUMNS": "80",
        },
    )


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    """Exit code and errors; nothing is written but those."""
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert output == b""
    return process.returncode, errors.decode()


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("answer", [cut, proxys, broken], ids=lambda each: each.__name__)
async def test_the_key_is_named_under_which_it_is_done_once(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]],
    arguments: tuple[str, ...],
    tmp_path: Path,
) -> None:
    async with edge(answer) as hearing:
        code, errors = await ended(await started(hearing.url, tmp_path, *arguments))
        assert code == 75, errors
        key = re.search(r"--key (\S+)", errors)
        assert key is not None, errors
        # What is idempotent by its method may be sent twice, under one key.
        assert set(hearing.keys) == {key[1]}


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
async def test_an_interrupt_names_it_too(arguments: tuple[str, ...], tmp_path: Path) -> None:
    async with edge(silent) as hearing:
        process = await started(hearing.url, tmp_path, *arguments)
        await asyncio.wait_for(hearing.heard.wait(), 60)
        process.send_signal(signal.SIGINT)
        code, errors = await ended(process)
        assert code == 130, errors
        assert f"--key {hearing.keys[0]}\n" in errors
        assert "Traceback" not in errors


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
async def test_where_nobody_listens_nothing_was_asked_for(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    code, errors = await ended(await started("http://127.0.0.1:1", tmp_path, *arguments))
    assert code == 69, errors
    assert "--key" not in errors
