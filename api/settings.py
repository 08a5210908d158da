"""The settings of the edge."""

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from api.identity.limit import limit_of
from api.identity.settings import TokenSettings, long_enough
from api.pages.settings import PagesSettings, web_address
from schemas.media import MediaSettings
from schemas.meters import MetersSettings
from schemas.plans import PlansSettings
from schemas.servers import ClickHouseSettings, KafkaSettings
from schemas.stripe_account import StripeSettings
from schemas.tracing import TracingSettings


def _rate_limit(text: str) -> str:
    limit_of(text)
    return text


def _public_url(text: str) -> str:
    return web_address(text, "https://weir.example.com")


class ApiSettings(
    TokenSettings,
    PagesSettings,
    PlansSettings,
    MetersSettings,
    StripeSettings,
    MediaSettings,
    TracingSettings,
    KafkaSettings,
    ClickHouseSettings,
):
    """Environment of the API process; times in seconds."""

    host: Annotated[
        str,
        Field(
            alias="WEIR_API_HOST", description="Where it listens; beyond loopback with credentials."
        ),
    ] = "127.0.0.1"
    # After the host and all about tokens: what it means depends on them.
    auth: Annotated[
        Literal["required", "local"],
        Field(
            alias="WEIR_AUTH",
            description="`local`: on loopback, who gives no credentials is the user demo.",
        ),
    ] = "required"
    port: Annotated[int, Field(alias="WEIR_API_PORT", ge=1, le=65535)] = 8000
    metrics_host: Annotated[
        str,
        Field(
            alias="WEIR_API_METRICS_HOST",
            min_length=1,
            description="Where /metrics is answered, to whoever asks there.",
        ),
    ] = "127.0.0.1"
    metrics_port: Annotated[
        int,
        Field(
            alias="WEIR_API_METRICS_PORT",
            ge=0,
            le=65535,
            description="Port of /metrics; 0: they are not answered.",
        ),
    ] = 0
    heartbeat_seconds: Annotated[
        float,
        Field(
            alias="WEIR_HEARTBEAT_SECONDS",
            ge=0,
            le=3600,
            description="From one heartbeat to the next, which measure freshness; 0: none.",
        ),
    ] = 10.0
    publish_timeout: Annotated[
        float,
        Field(
            alias="WEIR_PUBLISH_TIMEOUT",
            gt=0,
            le=60,
            description="How long a request waits for Kafka before it answers 503.",
        ),
    ] = 3.0
    quota_timeout: Annotated[
        float,
        Field(
            alias="WEIR_QUOTA_TIMEOUT",
            gt=0,
            le=60,
            description="How long a request waits for the quotas worker before it answers 503.",
        ),
    ] = 2.5
    generation_wait: Annotated[
        float,
        Field(
            alias="WEIR_GENERATION_WAIT",
            ge=0,
            le=300,
            description="How long a request for a post waits for it before it answers 202.",
        ),
    ] = 30.0
    public_url: Annotated[
        str,
        AfterValidator(_public_url),
        Field(
            alias="WEIR_PUBLIC_URL",
            description="Where browsers reach this API; not set: as the request came.",
        ),
    ] = ""
    query_timeout: Annotated[
        float,
        Field(
            alias="WEIR_QUERY_TIMEOUT",
            gt=0,
            le=300,
            description="How long a request waits for ClickHouse before it answers 503.",
        ),
    ] = 5.0
    export_timeout: Annotated[
        float,
        Field(
            alias="WEIR_EXPORT_TIMEOUT",
            gt=0,
            le=86_400,
            description="How long an export may take, its reader included, before it breaks off.",
        ),
    ] = 3600.0
    max_exports: Annotated[
        int,
        Field(
            alias="WEIR_MAX_EXPORTS",
            ge=1,
            le=1000,
            description="Exports at once of one process; beyond it: 503.",
        ),
    ] = 4
    max_unconfirmed_bytes: Annotated[
        int,
        Field(
            alias="WEIR_MAX_UNCONFIRMED_BYTES",
            ge=2_097_152,
            description="Bytes waiting for Kafka's acknowledgement; beyond it new events get 503.",
        ),
    ] = 67_108_864
    self_analytics: Annotated[
        bool,
        Field(
            alias="WEIR_SELF_ANALYTICS",
            description="Whether Weir records requests of its own API; not events and questions.",
        ),
    ] = False
    rate_limit_user: Annotated[
        str,
        AfterValidator(_rate_limit),
        Field(
            alias="WEIR_RATE_LIMIT_USER",
            description="Requests of one user to one process; beyond it: 429. Empty: no limit.",
        ),
    ] = "600/minute"
    rate_limit_key: Annotated[
        str,
        AfterValidator(_rate_limit),
        Field(
            alias="WEIR_RATE_LIMIT_KEY",
            description="The same for one API key.",
        ),
    ] = ""

    visitor_secret: Annotated[
        SecretStr,
        Field(
            alias="WEIR_VISITOR_SECRET",
            description="Names the visitors of websites for a day, the same in all processes. Not "
            "set: each process makes a random one.",
        ),
        AfterValidator(long_enough),
    ] = SecretStr("")
    webhook_secret: Annotated[
        SecretStr,
        Field(
            alias="STRIPE_WEBHOOK_SECRET",
            description="Signs what Stripe sends here; several, separated by commas, while one is "
            "rolled. Not set: /stripe/webhook answers 503.",
        ),
    ] = SecretStr("")

    @property
    def webhook_secrets(self) -> tuple[bytes, ...]:
        """Each of the secrets."""
        given = self.webhook_secret.get_secret_value().split(",")
        return tuple(each.strip().encode() for each in given if each.strip())

    @field_validator("auth")
    @classmethod
    def _not_half_configured(cls, auth: str, info: ValidationInfo) -> str:
        given = info.data
        if auth == "local" and "host" in given and not is_loopback(given["host"]):
            raise ValueError(
                "local lets everybody in, and WEIR_API_HOST is not this machine alone; "
                "set WEIR_AUTH=required, or WEIR_API_HOST=127.0.0.1"
            )
        # One that is there and cannot be used is named by itself.
        usable = "jwt_secret" in given and "jwks_url" in given
        if (
            auth == "required"
            and usable
            and not (given["jwks_url"] or given["jwt_secret"].get_secret_value())
        ):
            raise ValueError(
                "required needs WEIR_JWT_SECRET or WEIR_JWKS_URL to check tokens with; "
                "`make up` sets WEIR_AUTH=local, which needs neither"
            )
        return auth


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
