"""Who visits, without knowing them: a hash that changes every day, and no address anywhere."""

import hmac
import secrets
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final

DAY_SECONDS: Final = 86_400
_DIGEST_BYTES: Final = 16


class Visitors:
    """Names visitors. Several processes with one secret give a visitor the same name.

    The salt of a UTC day is an HMAC of the day under the secret. A name is the hash, cut to 128
    bits, of salt, address, user agent and host; it cannot be turned back without the secret, and
    the same visitor has another one tomorrow. Without a secret each process makes a random one,
    so that two processes name one visitor differently.
    """

    def __init__(self, secret: str | None) -> None:
        self._secret = secret.encode() if secret else secrets.token_bytes(32)
        self._latest = (-1, b"")

    def name(self, day: int, address: str, user_agent: bytes, host: bytes) -> str:
        """32 hexadecimal digits; `day` is counted from 1970 on, the others may be empty."""
        digest = blake2b(key=self._salt_of(day), digest_size=_DIGEST_BYTES)
        for part in (str(address).encode("utf-8", "replace"), user_agent, host.lower()):
            # The length keeps two different triples from being one text.
            digest.update(len(part).to_bytes(4) + part)
        return digest.hexdigest()

    def _salt_of(self, day: int) -> bytes:
        known, salt = self._latest
        if known != day:
            date = datetime.fromtimestamp(day * DAY_SECONDS, UTC).date().isoformat()
            salt = hmac.digest(self._secret, f"weir visitors {date}".encode(), "sha256")
            self._latest = day, salt
        return salt


def client_address(header: bytes, trusted_proxies: int) -> str:
    """The client's address from a header such as `X-Forwarded-For`, or '' when it names none.

    Each trusted proxy has added, at the end, the address that it was called from; what stands
    before that was sent by the client, which may say anything.
    """
    addresses = [each.strip() for each in header.decode("latin-1").split(",")]
    address = addresses[-min(trusted_proxies, len(addresses))]
    if address.startswith("["):
        return address[1:].partition("]")[0].lower()
    # One colon is a port's, several are an IPv6 address's.
    return address.partition(":")[0] if address.count(":") == 1 else address.lower()
