"""A TCP proxy in front of Weir whose answers can be made slow."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class SlowProxy:
    """Passes bytes both ways; those of answers only after `delay` seconds."""

    def __init__(self, target: Callable[[], int]) -> None:
        """`target` says the port, on loopback, to which a new connection goes."""
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self.delay = 0.0
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["SlowProxy"]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            try:
                upstream, upward = await asyncio.open_connection("127.0.0.1", self._target())
            except OSError:
                writer.close()
                return
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._copy(reader, upward, answers=False))
                    both.create_task(self._copy(upstream, writer, answers=True))
            except* OSError:
                pass
            finally:
                upward.close()
                writer.close()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        while data := await reader.read(65_536):
            if answers and self.delay:
                await asyncio.sleep(self.delay)
            writer.write(data)
            await writer.drain()
        # One side has ended: so does the other.
        raise ConnectionError
