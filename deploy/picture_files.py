"""Where the pictures of a post are written: new files, never over others."""

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_KIND: Final = re.compile(r"\.(png|webp|jpg)$")


class NotWritten(Exception):
    """A picture could not be written; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class PictureFiles:
    """Names of a post's pictures.

    `output` is the file of the first, a folder for all, or None for the current folder. With
    several variants their numbers are put before the suffix.
    """

    output: Path | None
    variants: int

    def problem(self, *, again: bool) -> str | None:
        """Why nothing could be written there, as far as is known before anything is asked for.

        `again`: the files may be there from the run before.
        """
        if self.output is None or self.output.is_dir():
            return None
        if not self.output.parent.is_dir():
            return f"there is no folder {self.output.parent}"
        names = [self._numbered(self.output, number) for number in range(1, self.variants + 1)]
        there = [str(name) for name in names if name.exists()]
        if there and not again:
            return f"is there already: {', '.join(there)}; name another, or delete it"
        return None

    def name(self, post_id: str, number: int, image_url: str) -> Path:
        """The file of a variant; `number` counts from 1."""
        if self.output is not None and not self.output.is_dir():
            return self._numbered(self.output, number)
        kind = _KIND.search(image_url)
        # The id is the API's word: nothing of it may lead to another folder.
        start = re.sub(r"[^0-9A-Za-z]", "", post_id)[:8]
        name = Path(f"post-{start}{kind[0] if kind else '.png'}")
        return self._numbered((self.output or Path()) / name, number)

    def _numbered(self, path: Path, number: int) -> Path:
        if self.variants == 1:
            return path
        return path.with_name(f"{path.stem}-{number}{path.suffix}")


def write_new(path: Path, content: bytes) -> None:
    """Writes a file; one that is there already with the same content stays. Raises NotWritten."""
    try:
        with path.open("xb") as file:
            try:
                file.write(content)
                file.flush()
            except BaseException:
                # Half a picture would keep the whole one from being written.
                with contextlib.suppress(OSError):
                    path.unlink()
                raise
    except FileExistsError:
        if not _holds(path, content):
            raise NotWritten(
                f"{path} is there already, and is another picture: name another --output"
            ) from None
    except OSError as error:
        raise NotWritten(f"{path} cannot be written ({error.strerror})") from None


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False
