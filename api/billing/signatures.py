"""Whether a delivery is Stripe's, recent, and the first of its kind.

The package's own check (`stripe.WebhookSignature`) takes no clock, lets the future through, and
fails on bytes that are no text; a property test holds this one against it.
"""

import hmac
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, NamedTuple

TOLERANCE: Final = timedelta(seconds=300)
"""How far the time of a signature may be from now, either way: clocks differ."""

MAX_REMEMBERED: Final = 100_000
"""Deliveries that one process remembers: 166 a second, for as long as each could be replayed."""

_TIME: Final = re.compile(rb"[0-9]{1,11}")
_DIGEST: Final = re.compile(rb"[0-9a-f]{64}")


class NotSigned(Exception):
    """The signature does not hold; the message says in which way."""


class Replayed(Exception):
    """The same was delivered before, with the same signature."""


class TooManyDeliveries(Exception):
    """No more deliveries can be remembered now."""


class Delivery(NamedTuple):
    """A delivery whose signature holds. `mark`: the hash of what was signed, time and body."""

    mark: bytes
    signed_at: datetime


def check_signature(
    body: bytes, header: bytes, secrets: Sequence[bytes], now: datetime
) -> Delivery:
    """Checks a header `t=<epoch seconds>,v1=<hex>[,v1=…]` as Stripe documents it.

    The signature is the HMAC-SHA256 of `<t>.<body>`. One of the secrets, and one signature, must
    fit: while a secret is rolled there are two of either. Raises NotSigned.
    """
    items = [item.partition(b"=") for item in header.split(b",")]
    times = [value for name, _, value in items if name == b"t"]
    if len(times) != 1 or _TIME.fullmatch(times[0]) is None:
        raise NotSigned("it has no time `t=<seconds>`, or several")
    digests = [value for name, _, value in items if name == b"v1" and _DIGEST.fullmatch(value)]
    if not digests:
        raise NotSigned("it has no signature `v1=<64 hexadecimal digits>`")
    # As a number: zeros before it change nothing of what is signed.
    seconds = int(times[0])
    signed = b"%d.%s" % (seconds, body)
    expected = [hmac.digest(secret, signed, sha256).hex().encode() for secret in secrets]
    # Each compared with each, whatever was found before.
    if not sum(hmac.compare_digest(one, other) for one in expected for other in digests):
        raise NotSigned("it is not of this body, or made with another secret")
    signed_at = datetime.fromtimestamp(seconds, UTC)
    if now - signed_at > TOLERANCE:
        raise NotSigned(f"it was made more than {TOLERANCE.seconds} seconds ago")
    if signed_at - now > TOLERANCE:
        raise NotSigned(f"it was made more than {TOLERANCE.seconds} seconds from now")
    return Delivery(sha256(signed).digest(), signed_at)


class Deliveries:
    """What was taken, for as long as its signature could be used again."""

    def __init__(self, most: int = MAX_REMEMBERED) -> None:
        self._most = most
        # In the order taken, which is that of forgetting.
        self._until: dict[bytes, datetime] = {}

    def __len__(self) -> int:
        return len(self._until)

    @contextmanager
    def taken(self, delivery: Delivery, now: datetime) -> Iterator[None]:
        """Remembers the delivery while and after the block runs; not when the block raises.

        Raises Replayed and TooManyDeliveries.
        """
        self._forget(now)
        if delivery.mark in self._until:
            raise Replayed
        if len(self._until) >= self._most:
            raise TooManyDeliveries
        # Signed at most TOLERANCE from now, and good for so long after that.
        self._until[delivery.mark] = now + 2 * TOLERANCE
        try:
            yield
        except BaseException:
            self._until.pop(delivery.mark, None)
            raise

    def _forget(self, now: datetime) -> None:
        while self._until:
            mark, until = next(iter(self._until.items()))
            if until >= now:
                return
            del self._until[mark]
