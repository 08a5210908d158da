"""Who visits a website, without knowing them: a hash that changes every day, and no address."""

import hmac
import secrets
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final

DAY_SECONDS: Final = 86_400
_DIGEST_BYTES: Final = 16


class Visitors:
    """Names visitors as the middleware does (`sdk/weir_sdk/visitors.py`), by site in place of host.

    The salt of a UTC day is an HMAC of the day under the secret. A name is the hash, cut to 128
    bits, of salt, address, user agent and site; it cannot be turned back without the secret, and
    the same visitor has another one tomorrow and on another site. Without a secret each process
    makes a random one, so that two processes, and one that is started again, name one visitor
    differently.
    """

    def __init__(self, secret: str) -> None:
        """`secret`: '' for a random one."""
        self._secret = secret.encode() if secret else secrets.token_bytes(32)
        self._latest = (-1, b"")

    def name(self, now: datetime, address: str, user_agent: bytes, site_id: str) -> str:
        """32 hexadecimal digits; `address` and `user_agent` may be empty."""
        digest = blake2b(key=self._salt_of(now), digest_size=_DIGEST_BYTES)
        for part in (address.encode("utf-8", "replace"), user_agent, site_id.encode()):
            # The length keeps two different triples from being one text.
            digest.update(len(part).to_bytes(4) + part)
        return digest.hexdigest()

    def _salt_of(self, now: datetime) -> bytes:
        day = int(now.timestamp() // DAY_SECONDS)
        known, salt = self._latest
        if known != day:
            date = now.astimezone(UTC).date().isoformat()
            salt = hmac.digest(self._secret, f"weir visitors {date}".encode(), "sha256")
            self._latest = day, salt
        return salt
