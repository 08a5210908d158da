"""Finds the principal of a request by its `Authorization` header, and counts the request."""

from typing import Final, Protocol

from starlette.types import Scope

from api.answer_headers import keep_for_answer
from api.identity.challenges import credentials_invalid, credentials_missing
from api.identity.principal import Principal, Role
from api.identity.rate_limits import Policy, RateLimits
from api.identity.refusals import RefusalLog
from api.identity.tokens import InvalidToken, TokenCheck
from api.problems import Problem
from schemas.api_keys import PREFIX, ApiKey

DEMO: Final = Principal("demo", frozenset(Role))
"""Who asks without credentials on a Weir of one machine; never limited."""
_ROLES: Final = {
    "write": frozenset({Role.PRODUCER}),
    "read": frozenset({Role.ANALYST}),
}


class Keys(Protocol):
    """Where API keys are looked up, in memory."""

    @property
    def ready(self) -> bool:
        """Whether keys can be looked up."""

    def problem(self) -> str | None:
        """Why they cannot."""

    def find(self, presented: str) -> ApiKey | None:
        """The key, unless it is unknown or revoked. Raises Problem (503) when not ready."""


class Uses(Protocol):
    """Where it is remembered that a key was used."""

    def used(self, key_id: str) -> None:
        """Never waits, never raises."""


class Authenticator:
    """Says who is asking: by API key, by token, or on one machine by nothing."""

    def __init__(
        self,
        *,
        tokens: TokenCheck | None,
        keys: Keys,
        uses: Uses,
        limits: RateLimits,
        local: bool,
    ) -> None:
        """`local`: who gives no credentials is `demo`. Without `tokens` none is taken."""
        self._tokens = tokens
        self._keys = keys
        self._uses = uses
        self._limits = limits
        self._local = local
        self._refusals = RefusalLog()

    async def principal(self, scope: Scope) -> Principal:
        """Who is asking, once their request is counted. Raises Problem: 401, 429, or 503."""
        principal = await self._asking(scope)
        if principal is not DEMO:
            policy: Policy = "user" if principal.key_id is None else "key"
            keep_for_answer(scope, self._limits.hit(policy, principal.subject))
        return principal

    async def held(self, scope: Scope) -> bool:
        """Whether who asked would still be let in: for an answer that goes on. Not counted.

        Also False when nobody can say now: who comes again is told so.
        """
        try:
            await self._asking(scope)
        except Problem:
            return False
        return True

    async def _asking(self, scope: Scope) -> Principal:
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
            key = self._keys.find(token)
            if key is None:
                raise InvalidToken("unknown or revoked API key")
            self._uses.used(key.key_id)
            return Principal(f"key:{key.key_id}", _ROLES[key.kind], key.key_id)
        if self._tokens is None:
            raise InvalidToken("no tokens are taken here")
        return await self._tokens.principal(token)

    def not_ready(self) -> dict[str, str]:
        """What keeps credentials from being checked, by part; empty when nothing does."""
        problems = {
            "identity": None if self._tokens is None else self._tokens.problem(),
            "api_keys": None if self._keys.ready else self._keys.problem(),
        }
        return {part: problem for part, problem in problems.items() if problem}


def _bearer(given: list[bytes]) -> str:
    if len(given) > 1:
        raise InvalidToken("two Authorization headers")
    scheme, _, token = given[0].decode("latin-1").partition(" ")
    token = token.strip(" ")
    if scheme.lower() != "bearer" or not token:
        raise InvalidToken("not a bearer token")
    return token
