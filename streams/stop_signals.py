"""Tells a process that it is asked to end: by SIGTERM or Ctrl-C, however often."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """An event that is set when the process is asked to end; within its event loop.

    After the block the process has done what it had to: asked again, it leaves as it was about to.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            # Else one that comes while the interpreter ends makes it look killed.
            signal.signal(number, signal.SIG_IGN)
