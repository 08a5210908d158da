"""Every kind of settings, and so every name that Weir knows in the environment."""

from typing import Final

from pydantic_settings import BaseSettings

from api.settings import ApiSettings
from deploy.access_log.settings import ReplaySettings
from deploy.edge_client import EdgeSettings
from deploy.local.clickhouse.settings import EmbeddedClickHouseSettings
from deploy.local.settings import LocalSettings
from deploy.preflight.settings import StartSettings
from streams.billing.settings import BillingSettings
from streams.quotas.settings import QuotasSettings
from streams.sink.settings import SinkSettings
from streams.social.settings import SocialSettings

KINDS: Final[tuple[type[BaseSettings], ...]] = (
    ApiSettings,
    SinkSettings,
    QuotasSettings,
    BillingSettings,
    SocialSettings,
    StartSettings,
    LocalSettings,
    EmbeddedClickHouseSettings,
    ReplaySettings,
    EdgeSettings,
)

OTHERS: Final = frozenset(
    {
        "WEIR_URL",  # an option of commands that ask Weir, and of services that send to it
        "WEIR_WRITE_KEY",  # of services that send to it
        "WEIR_TEST_SERVICES",  # the tests
        "WEIR_TEST_PROGRAMS",  # the tests
        # OpenTelemetry's own package
        "OTEL_RESOURCE_ATTRIBUTES",
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "OTEL_EXPORTER_OTLP_COMPRESSION",
    }
)
"""Names that are read beside the kinds."""


def known_names() -> frozenset[str]:
    """The names in the environment that mean something to any part of Weir."""
    named = {field.alias for kind in KINDS for field in kind.model_fields.values() if field.alias}
    return OTHERS | named
