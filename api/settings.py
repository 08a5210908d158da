"""The settings of the edge."""

from typing import Annotated

from pydantic import AfterValidator, Field

from api.identity.rate_limits import limit_of
from schemas.servers import ClickHouseSettings, KafkaSettings


def _rate_limit(text: str) -> str:
    limit_of(text)
    return text


class ApiSettings(KafkaSettings, ClickHouseSettings):
    """Environment of the API process; times in seconds."""

    host: Annotated[
        str,
        Field(
            alias="WEIR_API_HOST", description="Where it listens; loopback needs no credentials."
        ),
    ] = "127.0.0.1"
    port: Annotated[int, Field(alias="WEIR_API_PORT", ge=1, le=65535)] = 8000
    publish_timeout: Annotated[
        float,
        Field(
            alias="WEIR_PUBLISH_TIMEOUT",
            gt=0,
            le=60,
            description="How long a request waits for Kafka before it answers 503.",
        ),
    ] = 3.0
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
            description="Whether Weir records the requests of its own API, ingest left out.",
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
