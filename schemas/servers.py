"""Where Kafka and ClickHouse are: the settings that every process shares."""

from typing import Annotated, Literal, TypedDict
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from schemas.settings import Settings


def _http_url(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must look like http://host:8123/database (https for TLS)")
    return value


class KafkaSettings(Settings):
    """`KAFKA_BOOTSTRAP_SERVERS`, else the local broker on `WEIR_KAFKA_PORT`."""

    kafka_port: Annotated[int, Field(alias="WEIR_KAFKA_PORT", ge=1, le=65535)] = 9092
    bootstrap_servers: Annotated[str, Field(alias="KAFKA_BOOTSTRAP_SERVERS")] = ""
    topic_prefix: Annotated[
        str,
        Field(
            alias="WEIR_TOPIC_PREFIX",
            pattern=r"^[A-Za-z0-9._-]{0,64}$",
            description="Put before each topic's name, to share a cluster.",
        ),
    ] = ""
    replication_factor: Annotated[int, Field(alias="WEIR_TOPIC_REPLICATION", ge=1, le=9)] = 1
    event_partitions: Annotated[
        int,
        Field(
            alias="WEIR_EVENT_PARTITIONS",
            ge=1,
            le=10_000,
            description="Of the topics of page views and custom events, each.",
        ),
    ] = 4
    user_partitions: Annotated[
        int,
        Field(
            alias="WEIR_USER_PARTITIONS",
            ge=1,
            le=10_000,
            description="Of each topic that is keyed by user or customer.",
        ),
    ] = 4
    compression: Annotated[
        Literal["none", "gzip", "lz4", "zstd"], Field(alias="WEIR_KAFKA_COMPRESSION")
    ] = "lz4"

    @model_validator(mode="before")
    @classmethod
    def _local_broker(cls, values: dict[str, object]) -> dict[str, object]:
        if not (values.get("KAFKA_BOOTSTRAP_SERVERS") or values.get("bootstrap_servers")):
            values["KAFKA_BOOTSTRAP_SERVERS"] = f"127.0.0.1:{values.get('WEIR_KAFKA_PORT', 9092)}"
        return values

    def topic(self, name: str) -> str:
        """A topic's name on the cluster."""
        return self.topic_prefix + name


class ClickHouseClientArguments(TypedDict):
    """What clickhouse-connect's clients need to reach the server."""

    host: str
    port: int
    secure: bool
    username: str
    password: str


class ClickHouseSettings(Settings):
    """`CLICKHOUSE_URL` (user, password and database in it), else the local server."""

    clickhouse_port: Annotated[int, Field(alias="WEIR_CLICKHOUSE_PORT", ge=1, le=65535)] = 8123
    url: Annotated[SecretStr, Field(alias="CLICKHOUSE_URL"), AfterValidator(_http_url)] = SecretStr(
        ""
    )

    @model_validator(mode="before")
    @classmethod
    def _local_server(cls, values: dict[str, object]) -> dict[str, object]:
        if not (values.get("CLICKHOUSE_URL") or values.get("url")):
            port = values.get("WEIR_CLICKHOUSE_PORT", 8123)
            values["CLICKHOUSE_URL"] = f"http://127.0.0.1:{port}"
        return values

    clickhouse_cluster: Annotated[
        str,
        Field(
            alias="WEIR_CLICKHOUSE_CLUSTER",
            pattern=r"^[A-Za-z0-9_-]{0,64}$",
            description="The cluster's name in the servers' remote_servers; empty: one server.",
        ),
    ] = ""

    @property
    def database(self) -> str:
        """The database: the URL's path, else `weir`."""
        return urlsplit(self.url.get_secret_value()).path.strip("/") or "weir"

    @property
    def address(self) -> str:
        """Host and port alone, fit for messages."""
        parts = urlsplit(self.url.get_secret_value())
        return f"{parts.hostname}:{parts.port or (8443 if parts.scheme == 'https' else 8123)}"

    def client_arguments(self) -> ClickHouseClientArguments:
        """Keyword arguments for clickhouse-connect's clients, the database left out."""
        parts = urlsplit(self.url.get_secret_value())
        secure = parts.scheme == "https"
        return {
            "host": parts.hostname or "127.0.0.1",
            "port": parts.port or (8443 if secure else 8123),
            "secure": secure,
            "username": parts.username or "default",
            "password": parts.password or "",
        }
