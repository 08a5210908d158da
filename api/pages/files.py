"""The files of the built pages, in memory: what each is, packed, and how long it may be kept."""

import gzip
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from fastapi import Response

from api.etags import TaggedDocument

INDEX: Final = "index.html"
ASSETS: Final = "assets/"
_MAX_BYTES: Final = 50_000_000
"""Of all files: more is not what was built."""
_KEPT_FOR_EVER: Final = "public, max-age=31536000, immutable"
"""For names that change with the content."""
_ASKED_EACH_TIME: Final = "no-cache"
_KEPT_FOR_AN_HOUR: Final = "public, max-age=3600"
_PACKED: Final = frozenset({".html", ".js", ".css", ".json", ".svg"})


class PagesNotBuilt(Exception):
    """The folder has no pages; the message says what to do."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file as it is sent: as it is, and packed where that is shorter."""

    plain: TaggedDocument
    packed: TaggedDocument | None
    media_type: str
    cache_control: str

    @classmethod
    def of(cls, name: str, body: bytes) -> "PageFile":
        suffix = Path(name).suffix
        packed = None
        if suffix in _PACKED:
            # Without the time, so that every process has the same ETag.
            shorter = gzip.compress(body, mtime=0)
            if len(shorter) < len(body):
                packed = TaggedDocument.of(shorter)
        kept = _KEPT_FOR_AN_HOUR
        if name.startswith(ASSETS):
            kept = _KEPT_FOR_EVER
        elif suffix == ".html":
            kept = _ASKED_EACH_TIME
        return cls(TaggedDocument.of(body), packed, _media_type(name), kept)

    def answer(self, if_none_match: str | None, accept_encoding: str) -> Response:
        """The file, packed for who takes gzip, or 304."""
        packed = self.packed if _takes_gzip(accept_encoding) else None
        document = packed or self.plain
        answer = document.answer(
            if_none_match, media_type=self.media_type, cache_control=self.cache_control
        )
        answer.headers["Vary"] = "Accept-Encoding"
        if packed is not None and answer.status_code == HTTPStatus.OK:
            answer.headers["Content-Encoding"] = "gzip"
        return answer


def read_pages(folder: Path) -> Mapping[str, PageFile]:
    """All files of the folder by their path within it. Raises PagesNotBuilt."""
    if not (folder / INDEX).is_file():
        raise PagesNotBuilt(
            f"{folder} has no {INDEX}: build the pages with `make pages`, or unset WEIR_PAGES_DIR"
        )
    try:
        files = sorted(each for each in folder.rglob("*") if each.is_file())
        if sum(each.stat().st_size for each in files) > _MAX_BYTES:
            raise PagesNotBuilt(f"{folder} is larger than {_MAX_BYTES} bytes; name frontend/dist")
        bodies = {each.relative_to(folder).as_posix(): each.read_bytes() for each in files}
    except OSError as error:
        raise PagesNotBuilt(
            f"{error.filename} cannot be read ({error.strerror}); build the pages with "
            "`make pages`, or unset WEIR_PAGES_DIR"
        ) from None
    return {name: PageFile.of(name, body) for name, body in bodies.items()}


def _takes_gzip(accept_encoding: str) -> bool:
    """Whether the client names gzip, and not with the weight 0 (RFC 9110, 12.5.3)."""
    for each in accept_encoding.lower().split(","):
        coding, *parameters = (part.strip() for part in each.split(";"))
        if coding == "gzip":
            weight = next((part[2:] for part in parameters if part.startswith("q=")), "1")
            return weight.strip("0.") != ""
    return False


def _media_type(name: str) -> str:
    # Not the machine's own list, which may call JavaScript something that browsers refuse.
    known = {".js": "text/javascript", ".svg": "image/svg+xml", ".woff2": "font/woff2"}
    suffix = Path(name).suffix
    found = known.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return f"{found}; charset=utf-8" if found.startswith("text/") else found
