"""What billing works with at the edge: secrets of webhooks, the meters, the way to Stripe."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from api.billing.signatures import Deliveries
from api.identity.refusals import RefusalLog
from schemas.meters import Meters

if TYPE_CHECKING:
    from api.billing.stripe_sessions import StripeSessions


class UnknownCustomer(Exception):
    """Stripe has no such customer, or no longer."""


class NoPrice(Exception):
    """Stripe has no price for this plan."""


@dataclass(frozen=True, slots=True)
class BillingDesk:
    """`webhook_secrets`: none, nothing is taken from Stripe; `sessions`: None without a key.

    `public_url`: in front of the paths that Stripe sends browsers back to; '': as they came.
    """

    meters: Meters
    webhook_secrets: tuple[bytes, ...]
    sessions: "StripeSessions | None"
    public_url: str
    deliveries: Deliveries = field(default_factory=Deliveries)
    refusals: RefusalLog = field(default_factory=RefusalLog)
