"""The visitor_id of a line: tells visitors of a day apart without keeping their address.

It is HMAC-SHA256 over day, address and agent under a random key that stays on this machine. One
visitor has another id each day; who has the events but not the key cannot test an address against
the visitor_id.
"""

import hmac
from functools import lru_cache
from pathlib import Path

from deploy.secret_files import SECRET_BYTES, NotASecret, read_or_create_secret

VISITOR_ID_CHARACTERS = 32
_REMEMBERED_VISITORS = 65_536


class UnusableVisitorKey(Exception):
    """The key file exists but holds no key."""


def load_or_create_key(file: Path) -> bytes:
    """Read the key (64 hex digits), or make one that only this user can read.

    Raises UnusableVisitorKey, and OSError where the file can be neither read nor made.
    """
    try:
        return read_or_create_secret(file)
    except NotASecret:
        raise UnusableVisitorKey(
            f"{file} is not a visitor key ({SECRET_BYTES * 2} hex digits): put the right file "
            "back, or delete it and visitors already counted will count once more"
        ) from None


class VisitorIds:
    """Gives out visitor_ids under one key; the most recent visitors are remembered for speed."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.of = lru_cache(maxsize=_REMEMBERED_VISITORS)(self._of)

    def _of(self, day: str, address: str, agent: str) -> str:
        """32 hex digits for one visitor (`day` as `2015-05-17`, UTC)."""
        # Neither day nor address can hold a line break, so no two visitors share a message.
        message = f"{day}\n{address}\n{agent}".encode()
        return hmac.digest(self._key, message, "sha256").hex()[:VISITOR_ID_CHARACTERS]
