"""What each process needs to start."""

from collections.abc import Sequence
from typing import Final

from api.settings import ApiSettings
from deploy.preflight.checks import Check, Listening, Needs, Problem
from deploy.preflight.clickhouse import MIGRATABLE, TABLES
from deploy.preflight.files import MEDIA, METERS, PAGES, PLANS
from deploy.preflight.kafka import KAFKA, TOPICS
from schemas.servers import ClickHouseSettings, KafkaSettings
from schemas.stripe_account import StripeSettings
from streams.billing.settings import BillingSettings
from streams.quotas.settings import QuotasSettings
from streams.sink.settings import SinkSettings
from streams.social.settings import SocialSettings

NOT_REPORTED: Final = (
    "without STRIPE_API_KEY nothing is reported to Stripe, and nothing is lost: what is used is "
    "kept for 35 days, and reported once there is a key"
)


async def _bills(settings: StripeSettings) -> Sequence[Problem]:
    return () if settings.bills else [Problem(NOT_REPORTED)]


STRIPE_KEY: Final = Check(StripeSettings, _bills)

API: Final = Needs(
    "api",
    ApiSettings,
    (PLANS, METERS, MEDIA, PAGES, TOPICS, TABLES),
    lambda settings: Listening(settings.host, settings.port, "api"),
)
SINK: Final = Needs(
    "sink",
    SinkSettings,
    (TOPICS, TABLES),
    lambda settings: Listening(settings.health_host, settings.health_port, "sink"),
)
QUOTAS: Final = Needs(
    "quotas",
    QuotasSettings,
    (PLANS, TOPICS),
    lambda settings: Listening(settings.health_host, settings.health_port, "quotas"),
)
SOCIAL: Final = Needs(
    "social",
    SocialSettings,
    (MEDIA, TOPICS),
    lambda settings: Listening(settings.health_host, settings.health_port, "social"),
)
BILLING: Final = Needs(
    "billing",
    BillingSettings,
    (STRIPE_KEY, PLANS, METERS, TOPICS),
    lambda settings: Listening(settings.health_host, settings.health_port, "billing"),
)
MIGRATE: Final = Needs("migrate", ClickHouseSettings, (MIGRATABLE,))
CREATE_TOPICS: Final = Needs("topics", KafkaSettings, (KAFKA,))
