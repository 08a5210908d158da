"""Opens what says who is asking, by the settings, and closes it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from api.identity.authenticator import Authenticator
from api.identity.jwks import FetchedKeys
from api.identity.key_book import KeyBook
from api.identity.key_uses import KeyUses
from api.identity.rate_limits import RateLimits
from api.identity.sites import Sites
from api.identity.tokens import KeySource, SharedSecret, TokenCheck
from api.publishing import Publisher
from api.settings import ApiSettings


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks by credentials, and which websites send events without any."""

    authenticator: Authenticator
    sites: Sites


@asynccontextmanager
async def opened_identity(
    settings: ApiSettings, publisher: Publisher, clock: Callable[[], datetime]
) -> AsyncIterator[Identity]:
    """Both of one edge process, over one key book."""
    async with AsyncExitStack() as stack:
        keys: SharedSecret | FetchedKeys | None = None
        if settings.jwks_url:
            keys = await stack.enter_async_context(FetchedKeys(settings.jwks_url))
        elif secret := settings.jwt_secret.get_secret_value():
            keys = SharedSecret(secret)
        book = await stack.enter_async_context(KeyBook(settings))
        uses = await stack.enter_async_context(KeyUses(publisher, clock))
        limits = RateLimits(user=settings.rate_limit_user, key=settings.rate_limit_key)
        local = settings.auth == "local"
        tokens = None if keys is None else _checked_with(keys, settings, clock)
        yield Identity(
            Authenticator(tokens=tokens, keys=book, uses=uses, limits=limits, local=local),
            Sites(keys=book, uses=uses, limits=limits, local=local),
        )


def _checked_with(
    keys: KeySource, settings: ApiSettings, clock: Callable[[], datetime]
) -> TokenCheck:
    return TokenCheck(
        keys,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        clock=lambda: clock().timestamp(),
    )
