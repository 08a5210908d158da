"""The data folder belongs to one running Weir at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class DataDirError(Exception):
    """The data folder cannot be used. The message says why and what to do."""


@contextmanager
def owned(folder: Path, url: str) -> Iterator[None]:
    """Make the folder and own it for the context; `url` tells others whose it is.

    Raises DataDirError when it cannot be written, or another process owns it. The system
    gives up the ownership of a process that was killed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("a+")
    except OSError as error:
        raise DataDirError(
            f"{folder} cannot be used as data folder: {error.strerror}. "
            "Set WEIR_DATA_DIR to a folder that you may write."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise DataDirError(
                f"Weir runs already on {folder} ({lock.read().strip() or 'it is just starting'}). "
                "Stop that one first, or set WEIR_DATA_DIR and the ports to others."
            ) from error
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, {url}\n")
        lock.flush()
        yield
        lock.truncate(0)
