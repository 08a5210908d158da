"""Sites: websites whose pages may send events, each named by a key that is public."""

import re
import secrets
from datetime import datetime
from ipaddress import IPv6Address
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from schemas.api_keys import KeyName

PREFIX: Final = "site_"
MAX_ORIGINS: Final = 20
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
"""Base32 (RFC 4648) in lower case: read aloud and typed without mistakes."""
_CHARACTERS: Final = 16
_MAX_HOST_CHARACTERS: Final = 253
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_ORIGIN: Final = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?",
    re.ASCII,
)
_LOOKS_LIKE: Final = (
    "must look like https://shop.example or http://localhost:3000: no path, no slash at the end, "
    "no *, and letters beyond a to z as xn--…"
)
_USUAL_PORTS: Final = {"http": "80", "https": "443"}


def origin_of(text: str) -> str:
    """The origin as browsers write it: in lower case, without the usual port.

    Raises ValueError, which says what one looks like.
    """
    found = _ORIGIN.fullmatch(text.lower())
    if (
        found is None
        or len(found["host"]) > _MAX_HOST_CHARACTERS
        or int(found["port"] or 1) > 65_535
    ):
        raise ValueError(_LOOKS_LIKE)
    origin = f"{found['scheme']}://{_host(found['host'])}"
    unusual = found["port"] and found["port"] != _USUAL_PORTS[found["scheme"]]
    return f"{origin}:{found['port']}" if unusual else origin


def _host(host: str) -> str:
    if not host.startswith("["):
        return host
    try:
        address = IPv6Address(host[1:-1])
    except ValueError:
        raise ValueError(_LOOKS_LIKE) from None
    if address.ipv4_mapped is None:
        return f"[{address.compressed}]"
    # Browsers write no dots into it (WHATWG URL, host serializing); Python does, from 3.13.
    low = int(address) & 0xFFFF_FFFF
    return f"[::ffff:{low >> 16:x}:{low & 0xFFFF:x}]"


class Site(BaseModel):
    """A message on `api-keys`, the last one about a site holds.

    The id stands in the pages of the site, for everybody to read: it opens nothing but the way in
    for events, and that only to pages of its origins.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    site_id: Annotated[str, Field(pattern=r"^site_[a-z2-7]{16}$")]
    kind: Literal["site"] = "site"
    name: Annotated[KeyName, Field(description="The `source` of its events.")]
    origins: Annotated[
        tuple[Annotated[str, AfterValidator(origin_of)], ...],
        Field(min_length=1, max_length=MAX_ORIGINS, examples=[["https://shop.example"]]),
    ]
    created_at: AwareDatetime
    revoked_at: AwareDatetime | None = None

    @property
    def message_key(self) -> str:
        return self.site_id

    def allows(self, origin: str) -> bool:
        """Whether pages of this origin, as browsers write it, may send events."""
        return origin in self.origins


def create_site(name: str, origins: tuple[str, ...], now: datetime) -> Site:
    """A new site. Raises ValueError when the name is none, or one of the origins."""
    return Site(
        site_id=PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_CHARACTERS)),
        name=name,
        # Each once, in the order in which they were given.
        origins=tuple(dict.fromkeys(origin_of(each) for each in origins)),
        created_at=now,
    )
