"""Stripe: the account that is billed through, and the client that reaches it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from schemas.settings import Settings

if TYPE_CHECKING:
    from stripe import StripeClient

REQUEST_SECONDS: Final = 20.0
"""How long Stripe may take for one answer; the package's own bound is 80."""


def _base_url(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise ValueError("must look like https://stripe-proxy.example")
    return value.rstrip("/")


class StripeSettings(Settings):
    """Which account, by which key; without a key nothing is sent to Stripe."""

    stripe_key: Annotated[
        SecretStr,
        Field(
            alias="STRIPE_API_KEY",
            description="A secret or restricted key; not set: nothing is reported to Stripe.",
        ),
    ] = SecretStr("")
    stripe_base: Annotated[
        str,
        Field(
            alias="STRIPE_API_BASE",
            description="Sends every call elsewhere: to a proxy, or a server for tests.",
        ),
        AfterValidator(_base_url),
    ] = ""

    @property
    def bills(self) -> bool:
        """Whether there is a key."""
        return bool(self.stripe_key.get_secret_value())


@asynccontextmanager
async def opened_stripe(
    settings: StripeSettings, *, seconds: float = REQUEST_SECONDS, connections: int = 100
) -> AsyncIterator["StripeClient"]:
    """A client whose calls (`…_async`) are made once: who calls decides what is tried again.

    Connects to nothing yet.
    """
    import aiohttp
    import stripe

    base = settings.stripe_base
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield stripe.StripeClient(
            settings.stripe_key.get_secret_value(),
            base_addresses={"api": base, "connect": base, "files": base, "meter_events": base}
            if base
            else None,
            max_network_retries=0,
            http_client=stripe.AIOHTTPClient(
                timeout=aiohttp.ClientTimeout(total=seconds), session=session
            ),
        )
