"""Who visits, without knowing them: a hash that changes every day, and no address anywhere."""

import hmac
import secrets
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final

DAY_SECONDS: Final = 86_400
_MAX_REMEMBERED: Final = 20_000
_DIGEST_BYTES: Final = 16
_HALF: Final = 1 << 63


class Visitors:
    """Names visitors. Several processes with one secret give a visitor the same name.

    The salt of a UTC day is an HMAC of the day under the secret. A name is the hash, cut to 128
    bits, of salt, address, user agent and host; it cannot be turned back without the secret, and
    the same visitor has another one tomorrow. Without a secret each process makes a random one,
    so that two processes name one visitor differently.
    """

    def __init__(self, secret: str | None) -> None:
        self._secret = secret.encode() if secret else secrets.token_bytes(32)
        self._day = -1
        self._salt = b""
        self._names: dict[tuple[str, bytes, bytes], str] = {}

    def name(self, when: float, address: str, user_agent: bytes, host: bytes) -> str:
        """32 hexadecimal digits; `when` is in seconds since 1970, the others may be empty."""
        day = int(when // DAY_SECONDS)
        if day != self._day:
            self._turn_to(day)
        key = (address, user_agent, host)
        name = self._names.get(key)
        if name is None:
            name = self._hash(*key)
            # Forgotten as a whole: a bound that costs nothing while it holds.
            if len(self._names) >= _MAX_REMEMBERED:
                self._names = {}
            self._names[key] = name
        return name

    def _turn_to(self, day: int) -> None:
        date = datetime.fromtimestamp(day * DAY_SECONDS, UTC).date().isoformat()
        self._names = {}
        self._salt = hmac.digest(self._secret, f"weir visitors {date}".encode(), "sha256")
        self._day = day

    def _hash(self, address: str, user_agent: bytes, host: bytes) -> str:
        digest = blake2b(key=self._salt, digest_size=_DIGEST_BYTES)
        for part in (address.encode("utf-8", "replace"), user_agent, host.lower()):
            # The length keeps two different triples from being one text.
            digest.update(len(part).to_bytes(4) + part)
        return digest.hexdigest()


def is_sampled(visitor: str, rate: float) -> bool:
    """Whether this visitor is among the share `rate` (0 to 1) of all: for all of a day, or not."""
    return int(visitor[:16], 16) < rate * 2 * _HALF


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
