"""Opens what says who is asking, by the settings, and closes it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime

from api.identity.authenticator import Authenticator
from api.identity.jwks import FetchedKeys
from api.identity.key_book import KeyBook
from api.identity.key_uses import KeyUses
from api.identity.rate_limits import RateLimits
from api.identity.tokens import KeySource, SharedSecret, TokenCheck
from api.publishing import Publisher
from api.settings import ApiSettings


@asynccontextmanager
async def opened_authenticator(
    settings: ApiSettings, publisher: Publisher, clock: Callable[[], datetime]
) -> AsyncIterator[Authenticator]:
    """The authenticator of one edge process."""
    async with AsyncExitStack() as stack:
        keys: SharedSecret | FetchedKeys | None = None
        if settings.jwks_url:
            keys = await stack.enter_async_context(FetchedKeys(settings.jwks_url))
        elif secret := settings.jwt_secret.get_secret_value():
            keys = SharedSecret(secret)
        yield Authenticator(
            tokens=None if keys is None else _checked_with(keys, settings, clock),
            keys=await stack.enter_async_context(KeyBook(settings)),
            uses=await stack.enter_async_context(KeyUses(publisher, clock)),
            limits=RateLimits(user=settings.rate_limit_user, key=settings.rate_limit_key),
            local=settings.auth == "local",
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
