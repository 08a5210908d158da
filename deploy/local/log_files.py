"""A log file that is rotated by size, so that a part may write for ever."""

from pathlib import Path


class RotatedLog:
    """Appends bytes to `path`; at `max_bytes` it becomes `path.1`, and so on up to `copies`.

    One writer only. A disk that is full loses lines and counts them; it stops nobody.
    """

    def __init__(self, path: Path, max_bytes: int = 10_000_000, copies: int = 3) -> None:
        self.path = path
        self.lost_bytes = 0
        self._max_bytes = max_bytes
        self._copies = copies
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        self._size = path.stat().st_size

    def write(self, data: bytes) -> None:
        try:
            if self._size and self._size + len(data) > self._max_bytes:
                self._rotate()
            self._size += self._file.write(data)
        # ValueError: the disk did not even let the file be opened again after a rotation.
        except (OSError, ValueError):
            self.lost_bytes += len(data)

    def close(self) -> None:
        self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        try:
            for number in range(self._copies - 1, 0, -1):
                older = self._numbered(number)
                if older.exists():
                    older.replace(self._numbered(number + 1))
            self.path.replace(self._numbered(1))
        finally:
            self._file = self.path.open("ab", buffering=0)
            self._size = self.path.stat().st_size

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of a log file, none when there is no file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 64 * 1024))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []
