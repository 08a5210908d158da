"""Checks a JWT: signature, times, issuer and audience; says who it names."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Protocol

import jwt

from api.identity.principal import Principal, Role
from schemas.limits import MAX_NAME_CHARACTERS

MAX_TOKEN_CHARACTERS: Final = 8_192
LEEWAY_SECONDS: Final = 10.0
"""How far the clocks of who issues tokens and of who checks them may be apart."""
MAX_REMEMBERED: Final = 10_000
"""So many checked tokens are remembered, 0.5 kB each."""

_LATEST: Final = 253_402_300_799
"""The end of the year 9999: infinite and absurd numbers are no times."""

# What PyJWT raises, and what it lets through of JSON that is too deep or holds infinite numbers.
_UNREADABLE: Final = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)

Claims = Mapping[str, Any]  # JSON of any shape


class InvalidToken(Exception):
    """The token is not taken. The reason is for the log alone; it holds nothing of the token."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key with the one algorithm that it is for."""

    algorithm: str
    # PyJWT's own kinds of key: bytes for HS256, cryptography's public keys for the others.
    key: Any


class KeySource(Protocol):
    """Where the key of a token is found."""

    generation: int
    """Another number once the keys are others, so that what they confirmed is checked again."""

    def find(self, key_id: str | None) -> VerificationKey | None:
        """The key with this id; None when there is none now."""

    async def find_anew(self, key_id: str | None) -> VerificationKey | None:
        """As `find`, after a look for new keys if it is time for one.

        Raises Problem (503) while there are none at all.
        """

    def problem(self) -> str | None:
        """Why no token can be checked, or None."""


class SharedSecret:
    """One secret for all tokens, HS256."""

    generation = 0

    def __init__(self, secret: str) -> None:
        self._key = VerificationKey("HS256", secret.encode())

    def find(self, key_id: str | None) -> VerificationKey:  # noqa: ARG002 # names no other
        return self._key

    async def find_anew(self, key_id: str | None) -> VerificationKey:
        return self.find(key_id)

    def problem(self) -> None:
        return None


class TokenCheck:
    """Checks tokens, and remembers those that were good until they expire."""

    def __init__(
        self,
        keys: KeySource,
        *,
        issuer: str = "",
        audience: str = "",
        clock: Callable[[], float],
        max_remembered: int = MAX_REMEMBERED,
    ) -> None:
        """`clock` gives epoch seconds. Without `issuer` any is taken; see `_claims` for `aud`."""
        self._keys = keys
        self._issuer = issuer or None
        self._audience = audience or None
        self._clock = clock
        self._max_remembered = max_remembered
        self._remembered: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()
        self._generation = keys.generation

    def remembered(self, token: str) -> Principal | None:
        """Who a token names that was checked before and has not expired."""
        if self._generation != self._keys.generation:
            self._remembered.clear()
            self._generation = self._keys.generation
            return None
        digest = sha256(token.encode()).digest()
        known = self._remembered.get(digest)
        if known is None:
            return None
        principal, ends_at = known
        if self._clock() >= ends_at:
            del self._remembered[digest]
            return None
        self._remembered.move_to_end(digest)
        return principal

    async def principal(self, token: str) -> Principal:
        """Who the token names. Raises InvalidToken, and Problem (503) while there are no keys."""
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise InvalidToken("too long")
        if not token.isascii():
            raise InvalidToken("not a JWT")
        if (known := self.remembered(token)) is not None:
            return known
        generation = self._keys.generation
        key = await self._key(token)
        claims = self._claims(token, key)
        ends_at = self._refuse_times(claims)
        principal = Principal(_subject(claims), _roles(claims))
        if generation == self._keys.generation:
            self._remember(token, principal, ends_at)
        return principal

    def problem(self) -> str | None:
        """Why no token can be checked, or None."""
        return self._keys.problem()

    async def _key(self, token: str) -> VerificationKey:
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
        except _UNREADABLE:
            raise InvalidToken("not a JWT") from None
        if key_id is not None and not isinstance(key_id, str):
            raise InvalidToken("not a JWT")
        key = self._keys.find(key_id) or await self._keys.find_anew(key_id)
        if key is None:
            raise InvalidToken("unknown key")
        return key

    def _claims(self, token: str, key: VerificationKey) -> Claims:
        """The claims, once signature, issuer and audience are right.

        A token that names an audience is refused when none is expected (RFC 7519, 4.1.3): it
        was issued for some other service.
        """
        try:
            return jwt.decode(
                token,
                key.key,
                # The key's, never the token's.
                algorithms=[key.algorithm],
                issuer=self._issuer,
                audience=self._audience,
                options={
                    "require": ["exp", "sub"],
                    # By the injected clock, below.
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.InvalidSignatureError:
            raise InvalidToken("wrong signature") from None
        except jwt.InvalidAlgorithmError:
            raise InvalidToken("wrong algorithm") from None
        except jwt.InvalidIssuerError:
            raise InvalidToken("wrong issuer") from None
        except jwt.InvalidAudienceError:
            raise InvalidToken("wrong audience") from None
        except jwt.MissingRequiredClaimError as error:
            raise InvalidToken(f"no {error.claim}") from None
        except _UNREADABLE:
            raise InvalidToken("not a JWT") from None

    def _refuse_times(self, claims: Claims) -> float:
        """When it ends, epoch seconds with the leeway."""
        now = self._clock()
        ends_at = _time(claims, "exp") + LEEWAY_SECONDS
        if now >= ends_at:
            raise InvalidToken("expired")
        for claim in ("nbf", "iat"):
            if claim in claims and now < _time(claims, claim) - LEEWAY_SECONDS:
                raise InvalidToken("not yet valid")
        return ends_at

    def _remember(self, token: str, principal: Principal, ends_at: float) -> None:
        if len(self._remembered) >= self._max_remembered:
            self._remembered.popitem(last=False)
        self._remembered[sha256(token.encode()).digest()] = principal, ends_at


def _time(claims: Claims, claim: str) -> float:
    value = claims[claim]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidToken(f"{claim} is no time")
    if not 0 <= value <= _LATEST:
        raise InvalidToken(f"{claim} is no time")
    return float(value)


def _subject(claims: Claims) -> str:
    subject = claims["sub"]
    if (
        not isinstance(subject, str)
        or not 0 < len(subject) <= MAX_NAME_CHARACTERS
        # No control characters, no surrogates, nothing that looks like another name.
        or not subject.isprintable()
    ):
        raise InvalidToken("sub is no user id")
    return subject


def _roles(claims: Claims) -> frozenset[Role]:
    """The known ones of the claim; who has none of them is a user."""
    given = claims.get("roles")
    names = given.split() if isinstance(given, str) else given if isinstance(given, list) else []
    return frozenset(role for role in Role if role in names) or frozenset({Role.USER})
