"""Finds the principal of a request by its `Authorization` header."""

from typing import Final, Protocol

from starlette.types import Scope

from api.identity.challenges import credentials_invalid, credentials_missing
from api.identity.principal import Principal, Role
from api.identity.refusals import RefusalLog
from api.identity.tokens import InvalidToken, TokenCheck
from schemas.api_keys import PREFIX, ApiKey

DEMO: Final = Principal("demo", frozenset(Role))
"""Who asks without credentials on a Weir of one machine."""
_ROLES: Final = {
    "write": frozenset({Role.PRODUCER}),
    "read": frozenset({Role.ANALYST}),
}


class Keys(Protocol):
    """Where API keys are looked up, in memory."""

    def find(self, token: str) -> ApiKey | None:
        """The key, unless it is unknown or revoked."""


class Authenticator:
    """Says who is asking: by API key, by token, or on one machine by nothing."""

    def __init__(
        self, *, tokens: TokenCheck | None, keys: Keys | None, local: bool, refusals: RefusalLog
    ) -> None:
        """`local`: who gives no credentials is `demo`. Without `tokens` none is taken."""
        self._tokens = tokens
        self._keys = keys
        self._local = local
        self._refusals = refusals

    async def principal(self, scope: Scope) -> Principal:
        """Who is asking. Raises Problem: 401, or 503 when there are no keys to check a token."""
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if not given:
            if self._local:
                return DEMO
            raise credentials_missing()
        try:
            return await self._named(_bearer(given))
        except InvalidToken as invalid:
            self._refusals.note(str(invalid))
            raise credentials_invalid() from None

    async def _named(self, token: str) -> Principal:
        if token.startswith(PREFIX):
            key = self._keys.find(token) if self._keys else None
            if key is None:
                raise InvalidToken("unknown or revoked API key")
            return Principal(f"key:{key.key_id}", _ROLES[key.kind], key.key_id)
        if self._tokens is None:
            raise InvalidToken("no tokens are taken here")
        return await self._tokens.principal(token)


def _bearer(given: list[bytes]) -> str:
    if len(given) > 1:
        raise InvalidToken("two Authorization headers")
    scheme, _, token = given[0].decode("latin-1").partition(" ")
    token = token.strip(" ")
    if scheme.lower() != "bearer" or not token:
        raise InvalidToken("not a bearer token")
    return token
