"""A worker's own folder: one process at a time, and the name by which its group knows it again."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

_LOCK: Final = "lock"
_INSTANCE: Final = "instance"


class FolderNotUsable(Exception):
    """The folder cannot be used; the message says why and what to do."""


@contextmanager
def own_folder(folder: Path, *, worker: str, setting: str) -> Iterator[None]:
    """The folder is this process's alone as long as the block runs. Raises FolderNotUsable.

    `worker` and `setting`: what to call it, and the variable that names its folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("a+")
    except OSError as error:
        raise FolderNotUsable(
            f"{folder} cannot be used ({error.strerror}); set {setting} to a folder that "
            "you may write"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise FolderNotUsable(
                f"{folder} is used by another {worker} worker ({lock.read().strip()}); give each "
                f"worker of a machine a folder of its own: {setting}"
            ) from error
        lock.truncate(0)
        lock.write(f"process {os.getpid()}\n")
        lock.flush()
        yield


def instance_of(folder: Path) -> str:
    """The name by which the group knows the worker of this folder, also after a restart."""
    note = folder / _INSTANCE
    if not note.exists():
        note.write_text(f"{uuid4()}\n")
    return note.read_text().strip()
