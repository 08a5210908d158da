"""Opens what says who is asking, by the settings, and closes it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from api.identity.authenticator import Authenticator
from api.identity.refusals import RefusalLog
from api.identity.tokens import SharedSecret, TokenCheck
from api.settings import ApiSettings


@asynccontextmanager
async def opened_authenticator(
    settings: ApiSettings, clock: Callable[[], datetime]
) -> AsyncIterator[Authenticator]:
    """The authenticator of one edge process."""
    secret = settings.jwt_secret.get_secret_value()
    tokens = None
    if secret:
        tokens = TokenCheck(
            SharedSecret(secret),
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            clock=lambda: clock().timestamp(),
        )
    yield Authenticator(
        tokens=tokens, keys=None, local=settings.auth == "local", refusals=RefusalLog()
    )
