"""How tokens are checked: with a shared secret, or with an identity provider's keys."""

from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from schemas.settings import Settings

MIN_SECRET_BYTES: Final = 32
"""An HMAC key shorter than its hash is the weakest part of it (RFC 7518, 3.2)."""


def long_enough(secret: SecretStr) -> SecretStr:
    """Validates that a secret that is set cannot be guessed."""
    if 0 < len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
        raise ValueError(
            f"must be at least {MIN_SECRET_BYTES} bytes; `openssl rand -hex 32` makes one"
        )
    return secret


def _key_set_url(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc):
        raise ValueError("must look like https://login.example.com/.well-known/jwks.json")
    return url


class TokenSettings(Settings):
    """What a token must be to be taken."""

    jwt_secret: Annotated[
        SecretStr,
        Field(alias="WEIR_JWT_SECRET", description="Tokens signed with it (HS256) are taken."),
        AfterValidator(long_enough),
    ] = SecretStr("")
    jwks_url: Annotated[
        str,
        Field(
            alias="WEIR_JWKS_URL",
            description="Where an identity provider publishes its keys (RS256, ES256).",
        ),
        AfterValidator(_key_set_url),
    ] = ""
    jwt_issuer: Annotated[
        str, Field(alias="WEIR_JWT_ISSUER", description="What `iss` must be, when set.")
    ] = ""
    jwt_audience: Annotated[
        str,
        Field(
            alias="WEIR_JWT_AUDIENCE",
            description="What `aud` must hold; when not set, tokens for any audience are refused.",
        ),
    ] = ""

    @field_validator("jwks_url")
    @classmethod
    def _one_way(cls, url: str, info: ValidationInfo) -> str:
        # A public key must never be able to serve as a secret.
        secret = info.data.get("jwt_secret")
        if url and secret is not None and secret.get_secret_value():
            raise ValueError("is set beside WEIR_JWT_SECRET; take one of them away")
        return url
