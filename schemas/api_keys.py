"""API keys: how one looks, how it is made, and what is stored of it."""

import re
import secrets
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Final, Literal
from zlib import crc32

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

Kind = Literal["write", "read"]
"""A write key sends events, a read key asks questions about them."""

PREFIX: Final = "weir_"
_PREFIXES: Final[dict[Kind, str]] = {"write": "weir_w_", "read": "weir_r_"}
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_BYTES: Final = 32
_SECRET_CHARACTERS: Final = 43
_CHECKSUM_CHARACTERS: Final = 6
PATTERN: Final = rf"weir_[wr]_[0-9A-Za-z]{{{_SECRET_CHARACTERS + _CHECKSUM_CHARACTERS}}}"
"""What scanners for secrets look for. No character in it ends a word, so that a double click
takes all of it."""
_WHOLE: Final = re.compile(PATTERN, re.ASCII)


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("has characters that cannot be printed")
    return name


KeyName = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_printable)]
"""What people call a key or a site."""


class ApiKey(BaseModel):
    """A message on `api-keys`, the last one about a key holds; of the key itself only its hash.

    The hash is a fast one on purpose: slow hashes protect what people choose, and 32 random bytes
    cannot be guessed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key_id: Annotated[str, Field(pattern=r"^key_[0-9a-z]{16}$")]
    kind: Kind
    name: KeyName
    secret_hash: Annotated[
        str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the whole key.")
    ]
    created_at: AwareDatetime
    revoked_at: AwareDatetime | None = None

    @property
    def message_key(self) -> str:
        return self.key_id


class ApiKeyUse(BaseModel):
    """A message on `api-key-uses`: when a key or site was used last, as one edge process knows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key_id: str
    last_used_at: AwareDatetime


def create_key(kind: Kind, name: str, now: datetime) -> tuple[str, ApiKey]:
    """A new key as it is presented, which is stored nowhere, and what is stored of it.

    Raises ValueError when the name is none.
    """
    body = _PREFIXES[kind] + _base62(
        int.from_bytes(secrets.token_bytes(_SECRET_BYTES)), _SECRET_CHARACTERS
    )
    presented = body + _checksum(body)
    return presented, ApiKey(
        key_id="key_" + _base36(secrets.randbits(80), 16),
        kind=kind,
        name=name,
        secret_hash=hash_of(presented),
        created_at=now,
    )


def hash_of(presented: str) -> str:
    """What is stored and looked up: SHA-256 in hex, of the whole key."""
    return sha256(presented.encode(errors="surrogatepass")).hexdigest()


def is_whole(presented: str) -> bool:
    """Whether this is a key without a typo, without asking anybody whether it exists."""
    return _WHOLE.fullmatch(presented) is not None and presented.endswith(
        _checksum(presented[:-_CHECKSUM_CHARACTERS])
    )


def _checksum(body: str) -> str:
    return _base62(crc32(body.encode()), _CHECKSUM_CHARACTERS)


def _base62(number: int, length: int) -> str:
    return _written(number, length, _ALPHABET)


def _base36(number: int, length: int) -> str:
    return _written(number, length, _ALPHABET[:10] + _ALPHABET[36:])


def _written(number: int, length: int, alphabet: str) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(alphabet))
        digits.append(alphabet[digit])
    return "".join(reversed(digits))
