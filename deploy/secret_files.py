"""Secrets that this machine makes for itself: each in a file that only its user can read."""

import os
import secrets
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

SECRET_BYTES: Final = 32


class NotASecret(Exception):
    """The file is there and holds no secret."""


def read_secret(file: Path) -> bytes:
    """The secret (64 hex digits in the file). Raises NotASecret, and OSError as reading does."""
    try:
        secret = bytes.fromhex(file.read_bytes().decode("ascii").strip())
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise NotASecret(f"{file} does not hold {SECRET_BYTES * 2} hex digits")
    return secret


def read_or_create_secret(file: Path) -> bytes:
    """As `read_secret`, after making one where there is none; two that make it use one."""
    try:
        return read_secret(file)
    except FileNotFoundError:
        file.parent.mkdir(parents=True, exist_ok=True)
        _create(file)
        return read_secret(file)


def _create(file: Path) -> None:
    # Linked into place when complete: of two commands that start together both use one secret.
    # A temporary file is made with mode 0600.
    with NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}-") as draft:
        draft.write(secrets.token_hex(SECRET_BYTES).encode() + b"\n")
        draft.flush()
        os.fsync(draft.fileno())
        try:
            os.link(draft.name, file)
        except FileExistsError:
            return
