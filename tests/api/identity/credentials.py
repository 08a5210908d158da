"""Tokens and keys as tests send them."""

import time
from collections.abc import Mapping
from typing import Final

import jwt

from tests.weir import Weir

ISSUER: Final = "https://login.example.com"
AUDIENCE: Final = "weir"


def claims(**changed: object) -> dict[str, object]:
    """What a good token says, with changes; a claim that is None is left out."""
    now = int(time.time())
    good: dict[str, object] = {
        "sub": "alice",
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + 600,
    }
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def signed(weir: Weir, **changed: object) -> str:
    """A token as this Weir takes it, but for the changes to its claims."""
    return jwt.encode(claims(**changed), weir.environment["WEIR_JWT_SECRET"], algorithm="HS256")


def bearer(credentials: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {credentials}"}
