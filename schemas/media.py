"""Where pictures lie, and what is remembered of posts in the making: a folder, or S3."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, S3Store
from pydantic import AfterValidator, Field

from schemas.settings import Settings

REQUEST_SECONDS: Final = 10
"""How long S3 may take for one request."""


def _media_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(
            "must hold no credentials and no options: those of S3 come from AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL"
        )
    is_s3 = parts.scheme == "s3" and bool(parts.netloc)
    is_folder = parts.scheme == "file" and not parts.netloc and len(parts.path) > 1
    if value and not (is_s3 or is_folder):
        raise ValueError("must look like s3://bucket/prefix or file:///folder, or be empty")
    return value


class MediaSettings(Settings):
    """Where pictures are stored: the same place for whoever makes and whoever serves them."""

    media_url: Annotated[
        str,
        Field(
            alias="WEIR_MEDIA_URL",
            description="s3://bucket/prefix or file:///folder; not set: a folder in WEIR_DATA_DIR.",
        ),
        AfterValidator(_media_url),
    ] = ""
    data_dir: Annotated[Path, Field(alias="WEIR_DATA_DIR")] = Path(".weir")

    @property
    def media_folder(self) -> Path | None:
        """The folder, absolute; None: it is S3."""
        if not self.media_url:
            return (self.data_dir / "media-store").expanduser().absolute()
        parts = urlsplit(self.media_url)
        return Path(unquote(parts.path)) if parts.scheme == "file" else None


class MediaNotUsable(Exception):
    """Pictures cannot be stored there; the message says why and what to do."""


def open_media(settings: MediaSettings) -> ObjectStore:
    """The place itself; a folder is made where there is none. Connects to nothing yet.

    An object of a folder appears whole or not at all, as one of S3 does. Raises MediaNotUsable.
    """
    folder = settings.media_folder
    try:
        if folder is not None:
            return LocalStore(folder, automatic_cleanup=True, mkdir=True)
        parts = urlsplit(settings.media_url)
        return S3Store(
            parts.netloc,
            prefix=parts.path.strip("/") or None,
            client_options={
                "timeout": timedelta(seconds=REQUEST_SECONDS),
                "connect_timeout": timedelta(seconds=3),
            },
            # Who uses it tries again, with a bound of its own.
            retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=REQUEST_SECONDS)},
        )
    except (OSError, ValueError, BaseError) as error:
        raise _not_usable(settings, type(error).__name__) from None


def check_media(settings: MediaSettings) -> None:
    """Whether it could be opened, without making anything. Raises MediaNotUsable."""
    folder = settings.media_folder
    if folder is None:
        open_media(settings)
        return
    nearest = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    if not nearest.is_dir():
        raise _not_usable(settings, f"{nearest} is no folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise _not_usable(settings, f"{nearest} may not be written")


def _not_usable(settings: MediaSettings, why: str) -> MediaNotUsable:
    return MediaNotUsable(
        f"pictures cannot be stored in {settings.media_folder or settings.media_url} ({why}); "
        "check WEIR_MEDIA_URL, and who may write there"
    )


def picture_path(key: str) -> str:
    """Where the picture of this key lies; `key` is a MediaKey, checked by the caller."""
    return f"media/{key}"
