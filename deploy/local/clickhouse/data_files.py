"""Data of inserts as files that the engine can open, though they have no name.

They are gone when the insert is, or the process, however it ends.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

# Beyond this the data waits on the disk instead of in memory.
_IN_MEMORY: Final = 16 * 1024 * 1024


@contextmanager
def readable_file(pieces: Iterable[bytes], folder: Path) -> Iterator[str]:
    """The path of a file with these bytes, for as long as the context lasts."""
    file = _memory_file(folder)
    try:
        size = 0
        in_memory = True
        for piece in pieces:
            if in_memory and size + len(piece) > _IN_MEMORY:
                file, in_memory = _moved(file, folder), False
            file.write(piece)
            size += len(piece)
        file.flush()
        yield descriptor_path(file.fileno())
    finally:
        file.close()


_DESCRIPTORS: Final = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"


def descriptor_path(descriptor: int) -> str:
    """The path under which the engine opens a file or pipe that has no name."""
    return f"{_DESCRIPTORS}/{descriptor}"


def _memory_file(folder: Path) -> IO[bytes]:
    if sys.platform != "linux":
        return tempfile.TemporaryFile(dir=folder)
    return os.fdopen(os.memfd_create("insert"), "w+b")


def _moved(file: IO[bytes], folder: Path) -> IO[bytes]:
    target = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
    try:
        file.seek(0)
        shutil.copyfileobj(file, target)
    except BaseException:
        target.close()
        raise
    finally:
        file.close()
    return target
