"""What the terminal shows while parts start: a live table, or plain lines without one."""

import contextlib
import time
from collections.abc import Callable
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

_PLAIN_SECONDS_BETWEEN = 5.0


class Display(Protocol):
    """Shows how each part, by its title, comes up."""

    def status(self, title: str, status: str) -> None:
        """Show what a part does now."""

    def ready(self, title: str, seconds: float) -> None:
        """Show that a part is ready, so many seconds after its start."""

    def say(self, line: str) -> None:
        """Print one line that stays."""

    def close(self) -> None:
        """Leave what is shown, and show no more."""


def _print(console: Console, line: str) -> None:
    # A terminal that is gone must not keep the parts from being stopped; of a closed pipe
    # rich makes SystemExit.
    with contextlib.suppress(OSError, SystemExit):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


class PlainDisplay:
    """One line for each thing that happened; of a part that is busy one in five seconds."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._shown: dict[str, float] = {}

    def status(self, title: str, status: str) -> None:
        now = self._clock()
        if now - self._shown.get(title, float("-inf")) >= _PLAIN_SECONDS_BETWEEN:
            self._shown[title] = now
            self.say(f"{title}: {status}")

    def ready(self, title: str, seconds: float) -> None:
        self.say(f"{title}: ready after {seconds:.1f} s")

    def say(self, line: str) -> None:
        _print(self._console, line)

    def close(self) -> None:
        pass


class LiveDisplay:
    """A table with a line for each part, drawn anew as they change."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines: dict[str, tuple[Spinner | Text, str]] = {}
        self._live: Live | None = Live(
            console=console, get_renderable=self._table, refresh_per_second=8
        )
        self._live.start()

    def status(self, title: str, status: str) -> None:
        mark, _ = self._lines.get(title, (Spinner("dots"), ""))
        self._lines[title] = (mark if isinstance(mark, Spinner) else Spinner("dots"), status)

    def ready(self, title: str, seconds: float) -> None:
        self._lines[title] = (Text("✓", style="green"), f"ready after {seconds:.1f} s")

    def say(self, line: str) -> None:
        _print(self._console, line)

    def close(self) -> None:
        if self._live is not None:
            # A spinner that stands still would look like a part that hangs.
            for title, (mark, status) in self._lines.items():
                if isinstance(mark, Spinner):
                    self._lines[title] = (Text("-", style="dim"), status)
            with contextlib.suppress(OSError, SystemExit):
                self._live.stop()
            self._live = None

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 1))
        for title, (mark, status) in list(self._lines.items()):
            table.add_row(mark, title, Text(status, style="dim", overflow="ellipsis", no_wrap=True))
        return table


def display_for(console: Console) -> Display:
    """Return the display that fits where the output goes."""
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)
