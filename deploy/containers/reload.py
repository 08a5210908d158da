"""For development: a `weir` command that starts again when the source changes.

`python -m deploy.containers.reload api` runs `weir api`. Files are looked at by their times, as a
mounted folder tells nobody of its changes on every system.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_CHECKOUT: Final = Path(__file__).parents[2]
_SOURCE: Final = ("api", "deploy", "schemas", "sdk/weir_sdk", "streams")
_SUFFIXES: Final = frozenset({".py", ".sql", ".toml"})
_LOOK_SECONDS: Final = 0.5
_END_SECONDS: Final = 25.0
"""Less than what docker-compose.yml gives the container."""

State = frozenset[tuple[str, int]]


class Reload:
    """One command, started again and again."""

    def __init__(self, command: Sequence[str], checkout: Path = _CHECKOUT) -> None:
        self._command = command
        self._checkout = checkout
        self._asked_to_end = False

    def end(self, *_: object) -> None:
        """Lets `run` return, from a handler of signals too."""
        self._asked_to_end = True

    def run(self) -> int:
        """The exit code with which the command ended for good.

        A command that failed waits for the next change; one that asks to be started anew ends.
        """
        while True:
            state = self._state()
            process = subprocess.Popen(self._command)
            code = self._until_it_ends(process, state)
            if code not in (None, 0, os.EX_TEMPFAIL) and not self._asked_to_end:
                sys.stderr.write(f"reload: ended with {code}; starts again at the next change\n")
                self._until_a_change(state)
            elif code is not None:
                return code
            if self._asked_to_end:
                return _ended(process)
            _ended(process)
            sys.stderr.write("reload: the source has changed\n")

    def _until_it_ends(self, process: "subprocess.Popen[bytes]", state: State) -> int | None:
        """Its exit code; None: the source has changed, or the end is asked for."""
        while not self._asked_to_end and self._state() == state:
            try:
                return process.wait(_LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                continue
        return None

    def _until_a_change(self, state: State) -> None:
        while not self._asked_to_end and self._state() == state:
            time.sleep(_LOOK_SECONDS)

    def _state(self) -> State:
        files = (
            file
            for folder in _SOURCE
            for file in (self._checkout / folder).rglob("*")
            if file.suffix in _SUFFIXES
        )
        found = []
        for file in files:
            try:
                found.append((str(file), file.stat().st_mtime_ns))
            except FileNotFoundError:
                continue  # an editor has just replaced it
        return frozenset(found)


def _ended(process: "subprocess.Popen[bytes]") -> int:
    process.terminate()
    try:
        return process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def main(arguments: Sequence[str]) -> int:
    reload = Reload([sys.executable, "-m", "deploy.commands", *arguments])
    signal.signal(signal.SIGTERM, reload.end)
    signal.signal(signal.SIGINT, reload.end)
    return reload.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
