"""Starts parts in order, watches them, and stops them all when one ends or is told to."""

import asyncio
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from deploy.local.display import Display
from deploy.local.managed_process import ManagedProcess
from deploy.local.notifications import Notifications
from deploy.local.parts import Part
from schemas.settings import EX_CONFIG

_STOP_SECONDS = 19.0
_SILENT_SECONDS = 120.0
_LOG_LINES = 20
_REFUSAL_LINES = 100
_START_AGAIN = 75
_MAX_STARTS = 5
_STARTS_WITHIN = 300.0
_REFUSED_SECONDS = _STARTS_WITHIN / _MAX_STARTS


class PartFailedError(Exception):
    """A part ended by itself, or did not become ready. The message says why."""

    def __init__(self, part: Part, reason: str) -> None:
        super().__init__(f"{part.title} {reason}")
        self.part = part


class StopRequestedError(Exception):
    """Someone pressed Ctrl-C or sent SIGTERM."""


class Supervisor:
    """Runs the parts until one fails or a stop is requested. For one `run` only."""

    def __init__(
        self,
        parts: Sequence[Part],
        logs: Path,
        display: Display,
        *,
        silent_seconds: float = _SILENT_SECONDS,
        stop_seconds: float = _STOP_SECONDS,
        refused_seconds: float = _REFUSED_SECONDS,
    ) -> None:
        """Take the parts in the order of their start; `logs` is the folder of their logs.

        A part that is not ready and has said nothing new for `silent_seconds` has failed.
        `stop_seconds` after a stop began all parts are ended, whatever they still do. A part that
        was ready once and then cannot start is started again so often as `refused_seconds`.
        """
        self._parts = parts
        self._logs = logs
        self._display = display
        self._silent_seconds = silent_seconds
        self._stop_seconds = stop_seconds
        self._refused_seconds = refused_seconds
        self._processes: dict[str, ManagedProcess] = {}
        self._ready = {part.name: asyncio.Event() for part in parts}
        self._stop_requested = asyncio.Event()
        self._killed = False

    async def run(self, on_ready: Callable[[], None]) -> int:
        """Return the exit code: 0 after a requested stop, 1 after a failure, 130 if killed.

        Calls `on_ready` once, when all parts are ready. Takes over SIGINT, SIGTERM and
        SIGHUP. No process is left when it returns or raises.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.request_stop)
        failures: list[PartFailedError] = []
        # Open until the end: a part that is being stopped may still tell something.
        async with AsyncExitStack() as channels:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._until_stop_requested())
                    for part in self._parts:
                        group.create_task(self._run_part(part, channels))
                    group.create_task(self._announce(on_ready))
            except* StopRequestedError:
                pass
            except* PartFailedError as group_of_failures:
                failures = [
                    one for one in group_of_failures.exceptions if isinstance(one, PartFailedError)
                ]
            finally:
                self._display.close()
                for failure in failures:
                    self._report(failure)
                await self._stop_all()
        if self._killed:
            return 130
        return 1 if failures else 0

    def request_stop(self) -> None:
        """Stop everything; at the second call kill everything."""
        if self._stop_requested.is_set():
            self._killed = True
            for process in self._processes.values():
                process.kill()
        self._stop_requested.set()

    async def _announce(self, on_ready: Callable[[], None]) -> None:
        for ready in self._ready.values():
            await ready.wait()
        self._display.close()
        on_ready()

    async def _until_stop_requested(self) -> None:
        await self._stop_requested.wait()
        raise StopRequestedError

    async def _run_part(self, part: Part, channels: AsyncExitStack) -> None:
        for name in part.after:
            await self._ready[name].wait()
        starts: deque[float] = deque(maxlen=_MAX_STARTS)
        channel = await channels.enter_async_context(_Channel())
        while True:
            began = time.monotonic()
            starts.append(began)
            process = await self._become_ready(part, channel)
            if process.running or part.once:
                self._display.ready(part.title, time.monotonic() - began)
                self._ready[part.name].set()
            if part.once:
                return
            code = await process.wait()
            if code not in self._starts_again_after(part):
                raise PartFailedError(part, how_it_ended(code))
            if code == EX_CONFIG:
                # A server elsewhere may be away for any time, and comes back.
                await asyncio.sleep(began + self._refused_seconds - time.monotonic())
                starts.clear()
            if len(starts) == _MAX_STARTS and time.monotonic() - starts[0] < _STARTS_WITHIN:
                raise PartFailedError(part, how_it_ended(code))
            self._display.say(f"{part.title} starts again; {self._log_of(part)} says why.")

    def _starts_again_after(self, part: Part) -> frozenset[int]:
        """The exit codes after which it does."""
        if not part.restarts:
            return frozenset()
        was_ready = self._ready[part.name].is_set()
        return frozenset({_START_AGAIN, EX_CONFIG} if was_ready else {_START_AGAIN})

    async def _become_ready(self, part: Part, channel: "_Channel") -> ManagedProcess:
        """Start a part and return once it is ready, or asks for another start before it is.

        Raises PartFailedError.
        """
        last_said = ""
        try:
            # A step takes the time it takes, as to fill a table from all events.
            async with asyncio.timeout(None if part.once else self._silent_seconds) as limit:

                def say(status: str) -> None:
                    nonlocal last_said
                    if status != last_said:
                        last_said = status
                        if not limit.expired():
                            if not part.once:
                                limit.reschedule(
                                    asyncio.get_running_loop().time() + self._silent_seconds
                                )
                            self._display.status(part.title, status)

                notifications = await channel.opened(say)
                process = self._start(part, notifications.address)
                say("starting")
                await _first_of_ready_and_ended(part, process, notifications, say)
        except TimeoutError as error:
            reason = f"is not ready; {self._silent_seconds:.0f} s ago it was last heard of: "
            raise PartFailedError(part, reason + last_said) from error
        expected = frozenset({0}) if part.once else self._starts_again_after(part)
        if not process.running and process.returncode not in expected:
            raise PartFailedError(part, how_it_ended(await process.wait()))
        return process

    def _start(self, part: Part, notify_socket: str) -> ManagedProcess:
        process = ManagedProcess(
            part.name,
            part.command,
            log=self._log_of(part),
            environment={**part.environment, "NOTIFY_SOCKET": notify_socket},
        )
        try:
            process.start()
        except OSError as error:
            raise PartFailedError(part, f"cannot be started: {error}") from error
        self._processes[part.name] = process
        return process

    async def _stop_all(self) -> None:
        running = [
            (part, self._processes[part.name])
            for part in reversed(self._parts)
            if part.name in self._processes and self._processes[part.name].running
        ]
        if running:
            self._display.say(f"Stopping {', '.join(part.title for part, _ in running)} ...")
        end = time.monotonic() + self._stop_seconds
        for part, process in running:
            remaining = max(0.0, end - time.monotonic())
            code = await process.stop(min(part.stop_deadline, remaining))
            if code == -signal.SIGKILL and not self._killed:
                self._display.say(
                    f"{part.title} did not stop within {part.stop_deadline:.0f} s and was killed."
                )

    def _report(self, failure: PartFailedError) -> None:
        log = self._log_of(failure.part)
        process = self._processes.get(failure.part.name)
        if process and process.returncode == EX_CONFIG:
            self._display.say(f"Weir stops: {failure.part.title} cannot start ({log}):")
            for line in _refusal(process.last_lines(_REFUSAL_LINES)):
                self._display.say(f"  {line}")
            return
        self._display.say(f"Weir stops: {failure}.")
        lines = process.last_lines(_LOG_LINES) if process else []
        if lines:
            self._display.say(f"The last lines of {log}:")
            for line in lines:
                self._display.say(f"  {line}")
        else:
            self._display.say(f"Its log {log} is empty.")

    def _log_of(self, part: Part) -> Path:
        return self._logs / f"{part.name}.log"


class _Channel:
    """By which a part's process tells of itself: one at a time, however often it starts."""

    def __init__(self) -> None:
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def opened(self, say: Callable[[str], None]) -> Notifications:
        """A new one; the one before, whose process has ended, is closed."""
        await self._open.aclose()
        return await self._open.enter_async_context(Notifications(say))


def _refusal(lines: list[str]) -> list[str]:
    """The message that these lines end with: one heading, one line for each problem."""
    heading = max((i for i, line in enumerate(lines) if not line.startswith("  ")), default=-1)
    return [line.strip() for line in lines[heading + 1 :]]


async def _first_of_ready_and_ended(
    part: Part, process: ManagedProcess, notifications: Notifications, say: Callable[[str], None]
) -> None:
    """Return when the part is ready or its process has ended, whichever comes first."""

    async def ready() -> None:
        if part.probe is not None:
            await part.probe(lambda: process.running, say)
        else:
            await notifications.ready.wait()

    ended = asyncio.create_task(process.wait())
    becoming_ready = asyncio.create_task(ready())
    try:
        if part.once:
            await ended
            return
        await asyncio.wait({ended, becoming_ready}, return_when=asyncio.FIRST_COMPLETED)
        if becoming_ready.done() and (error := becoming_ready.exception()) and process.running:
            raise error
    finally:
        ended.cancel()
        becoming_ready.cancel()


def how_it_ended(code: int) -> str:
    """Say what a process's exit code means, negative for a signal."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
