"""A Chromium for the tests: the one that is there, else one that is installed now."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# In a container there is no sandbox for root, and /dev/shm is small.
ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--force-prefers-no-reduced-motion",
    "--font-render-hinting=none",
)


class ChromiumMissing(Exception):
    """There is none, and none could be installed; the message says what to do."""


def chromium() -> str | None:
    """The path of the browser; None: playwright's own, which is installed then.

    Raises ChromiumMissing.
    """
    found = _found()
    if found is not None:
        return found
    if os.geteuid() == 0 and Path("/etc/debian_version").exists():
        _run("apt-get", "update", "-qq")
        _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium")
        found = _found()
        if found is not None:
            return found
    _run(sys.executable, "-m", "playwright", "install", "chromium")
    return None


def _found() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def _run(*command: str) -> None:
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        timeout=600,
    )
    if done.returncode:
        raise ChromiumMissing(
            f"`{' '.join(command)}` failed: {done.stderr[-500:]}\n"
            "Install Chromium, so that it is found as one of: " + ", ".join(NAMES)
        )
