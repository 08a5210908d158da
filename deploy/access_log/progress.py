"""What a replay shows while it runs: a bar on a terminal, plain lines anywhere else."""

import time
from collections.abc import Callable
from typing import Protocol, TextIO

from deploy.access_log.replay import Confirmed
from deploy.access_log.shown import shown

LINE_EVERY_SECONDS = 5.0


class Display(Protocol):
    """Told the state several times a second."""

    def update(self, confirmed: Confirmed) -> None: ...

    def waiting(self, reason: str | None) -> None:
        """Why nothing moves, or None when it moves again."""

    def close(self) -> None: ...


class PlainLines:
    """A line every few seconds, and one whenever the reason to wait changes."""

    def __init__(
        self, stream: TextIO, size: int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._size = size
        self._clock = clock
        self._started = self._last = clock()
        self._reason: str | None = None

    def update(self, confirmed: Confirmed) -> None:
        now = self._clock()
        if now - self._last < LINE_EVERY_SECONDS:
            return
        self._last = now
        rate = confirmed.answered / (now - self._started)
        read = f", {confirmed.bytes_read / self._size:.0%} of the file" if self._size else ""
        self._print(f"{confirmed.answered:,} page views sent, {rate:,.0f}/s{read}")

    def waiting(self, reason: str | None) -> None:
        if reason == self._reason:
            return
        self._reason = reason
        self._print("Weir answers again" if reason is None else _trying_again(reason))

    def close(self) -> None:
        pass

    def _print(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class Bar:
    """A bar over the bytes of the file; of standard input, whose size nobody knows, counts."""

    def __init__(self, stream: TextIO, size: int | None) -> None:
        # rich is a tenth of a second to import, and only a terminal needs it.
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            ProgressColumn,
            TextColumn,
            TimeElapsedColumn,
        )

        columns: list[ProgressColumn] = []
        if size is not None:
            columns += [BarColumn(), DownloadColumn(binary_units=True)]
        columns += [
            TextColumn("{task.fields[sent]:,} page views", markup=False),
            TextColumn("{task.fields[rate]:,.0f}/s", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[reason]}", markup=False),
        ]
        self._started = time.monotonic()
        self._progress = Progress(*columns, console=Console(file=stream), transient=True)
        self._task = self._progress.add_task("", total=size, sent=0, rate=0.0, reason="")
        self._progress.start()

    def update(self, confirmed: Confirmed) -> None:
        seconds = max(time.monotonic() - self._started, 1e-3)
        self._progress.update(
            self._task,
            completed=confirmed.bytes_read,
            sent=confirmed.answered,
            rate=confirmed.answered / seconds,
        )

    def waiting(self, reason: str | None) -> None:
        text = "" if reason is None else _trying_again(reason)
        self._progress.update(self._task, reason=text)

    def close(self) -> None:
        self._progress.stop()


def display_on(stream: TextIO, size: int | None, terminal: str | None) -> Display:
    """The display that fits `stream`; `terminal` is what TERM says."""
    if stream.isatty() and terminal not in (None, "", "dumb"):
        return Bar(stream, size)
    return PlainLines(stream, size)


def _trying_again(reason: str) -> str:
    return f"waiting for Weir: {shown(reason)}"
