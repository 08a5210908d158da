"""Where Kafka and ClickHouse are, and by what they let us in: settings of every process."""

from ssl import SSLContext
from typing import Annotated, Final, Literal, TypedDict
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from schemas.settings import Settings
from schemas.tls import client_context, require_certificates, require_key

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

_TLS: Final = frozenset({"SSL", "SASL_SSL"})
_SASL: Final = frozenset({"SASL_PLAINTEXT", "SASL_SSL"})


class KafkaClientArguments(TypedDict):
    """What aiokafka's clients need to reach the cluster."""

    bootstrap_servers: str
    security_protocol: SecurityProtocol
    ssl_context: SSLContext | None
    sasl_mechanism: SaslMechanism
    sasl_plain_username: str | None
    sasl_plain_password: str | None


class KafkaSettings(Settings):
    """`KAFKA_BOOTSTRAP_SERVERS`, else the local broker on `WEIR_KAFKA_PORT`."""

    kafka_port: Annotated[int, Field(alias="WEIR_KAFKA_PORT", ge=1, le=65535)] = 9092
    # Before all whose meaning depends on it.
    security_protocol: Annotated[
        SecurityProtocol,
        Field(
            alias="KAFKA_SECURITY_PROTOCOL",
            description="How Kafka is spoken to: SSL is TLS, SASL_… are with credentials.",
        ),
    ] = "PLAINTEXT"
    bootstrap_servers: Annotated[str, Field(alias="KAFKA_BOOTSTRAP_SERVERS")] = ""
    sasl_mechanism: Annotated[
        SaslMechanism,
        Field(alias="KAFKA_SASL_MECHANISM", description="How the password is proved."),
    ] = "PLAIN"
    sasl_username: Annotated[str, Field(alias="KAFKA_SASL_USERNAME")] = ""
    sasl_password: Annotated[SecretStr, Field(alias="KAFKA_SASL_PASSWORD")] = SecretStr("")
    ssl_ca_file: Annotated[
        str,
        Field(
            alias="KAFKA_SSL_CA_FILE",
            description="Authorities (PEM) that brokers' certificates are checked with; empty: "
            "the system's.",
        ),
    ] = ""
    ssl_certificate_file: Annotated[
        str,
        Field(
            alias="KAFKA_SSL_CERTIFICATE_FILE",
            description="Our own certificate (PEM), where brokers ask for one.",
        ),
    ] = ""
    ssl_key_file: Annotated[
        str, Field(alias="KAFKA_SSL_KEY_FILE", description="Its key (PEM), unencrypted.")
    ] = ""
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

    @field_validator("bootstrap_servers")
    @classmethod
    def _local_broker(cls, servers: str, info: ValidationInfo) -> str:
        protocol = info.data.get("security_protocol", "PLAINTEXT")
        if not servers and protocol != "PLAINTEXT":
            raise ValueError(
                f"is needed with KAFKA_SECURITY_PROTOCOL={protocol}: the local Kafka speaks "
                "PLAINTEXT"
            )
        return servers or f"127.0.0.1:{info.data.get('kafka_port', 9092)}"

    @field_validator("sasl_username", "sasl_password")
    @classmethod
    def _credentials_fit(cls, value: str | SecretStr, info: ValidationInfo) -> str | SecretStr:
        given = value.get_secret_value() if isinstance(value, SecretStr) else value
        # One that is no protocol is named by itself.
        if protocol := info.data.get("security_protocol"):
            if protocol in _SASL and not given:
                raise ValueError(f"is needed with KAFKA_SECURITY_PROTOCOL={protocol}")
            if protocol not in _SASL and given:
                raise ValueError(
                    f"is given, and KAFKA_SECURITY_PROTOCOL={protocol} sends no credentials; "
                    "set it to SASL_SSL, or leave this out"
                )
        return value

    @field_validator("ssl_ca_file", "ssl_certificate_file", "ssl_key_file")
    @classmethod
    def _files_fit(cls, path: str, info: ValidationInfo) -> str:
        protocol = info.data.get("security_protocol")
        if path and protocol and protocol not in _TLS:
            raise ValueError(
                f"is given, and KAFKA_SECURITY_PROTOCOL={protocol} is without TLS; "
                "set it to SSL or SASL_SSL, or leave this out"
            )
        if info.field_name == "ssl_key_file":
            return _key_of(path, info.data.get("ssl_certificate_file"))
        return require_certificates(path) if path else path

    def topic(self, name: str) -> str:
        """A topic's name on the cluster."""
        return self.topic_prefix + name

    def client_arguments(self) -> KafkaClientArguments:
        """Keyword arguments for aiokafka's clients. Raises OSError when a file is not there now."""
        sasl = self.security_protocol in _SASL
        return {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
            "ssl_context": client_context(
                self.ssl_ca_file, self.ssl_certificate_file, self.ssl_key_file
            )
            if self.security_protocol in _TLS
            else None,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username if sasl else None,
            "sasl_plain_password": self.sasl_password.get_secret_value() if sasl else None,
        }


def _key_of(path: str, certificate: str | None) -> str:
    """The key's path. `certificate`: None if it is wrong itself, which is said of it alone."""
    if path and certificate == "":
        raise ValueError("is given, and KAFKA_SSL_CERTIFICATE_FILE is not; give both, or none")
    if certificate and not path:
        raise ValueError("is needed with KAFKA_SSL_CERTIFICATE_FILE")
    return require_key(path, certificate) if path and certificate else path


class ClickHouseClientArguments(TypedDict):
    """What clickhouse-connect's clients need to reach the server."""

    host: str
    port: int
    secure: bool
    username: str
    password: str
    verify: bool
    ca_cert: str | None


def _http_url(value: SecretStr) -> SecretStr:
    wrong = ValueError("must look like http://host:8123/database (https for TLS)")
    try:
        parts = urlsplit(value.get_secret_value())
        # Read for its error: one that is no port.
        _ = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise wrong
    return value


class ClickHouseSettings(Settings):
    """`CLICKHOUSE_URL` (user, password and database in it), else the local server."""

    clickhouse_port: Annotated[int, Field(alias="WEIR_CLICKHOUSE_PORT", ge=1, le=65535)] = 8123
    # Both before the URL, without which they mean nothing.
    clickhouse_password: Annotated[
        SecretStr,
        Field(
            alias="CLICKHOUSE_PASSWORD", description="Of the URL's user; wins over the URL's own."
        ),
    ] = SecretStr("")
    url: Annotated[SecretStr, Field(alias="CLICKHOUSE_URL")] = SecretStr("")
    clickhouse_ca_file: Annotated[
        str,
        Field(
            alias="CLICKHOUSE_CA_FILE",
            description="Authorities (PEM) that the server's certificate is checked with; empty: "
            "the system's.",
        ),
    ] = ""

    @field_validator("url")
    @classmethod
    def _local_server(cls, url: SecretStr, info: ValidationInfo) -> SecretStr:
        if url.get_secret_value():
            return _http_url(url)
        password = info.data.get("clickhouse_password")
        if password and password.get_secret_value():
            raise ValueError(
                "is needed with CLICKHOUSE_PASSWORD: the local ClickHouse asks for none"
            )
        return SecretStr(f"http://127.0.0.1:{info.data.get('clickhouse_port', 8123)}")

    @field_validator("clickhouse_ca_file")
    @classmethod
    def _authorities_fit(cls, path: str, info: ValidationInfo) -> str:
        url = info.data.get("url")
        if path and url and urlsplit(url.get_secret_value()).scheme != "https":
            raise ValueError(
                "is given, and CLICKHOUSE_URL is without TLS; let it begin with https://, or "
                "leave this out"
            )
        return require_certificates(path) if path else path

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

    def clickhouse_arguments(self) -> ClickHouseClientArguments:
        """Keyword arguments for clickhouse-connect's clients, the database left out."""
        parts = urlsplit(self.url.get_secret_value())
        secure = parts.scheme == "https"
        return {
            "host": parts.hostname or "127.0.0.1",
            "port": parts.port or (8443 if secure else 8123),
            "secure": secure,
            "username": unquote(parts.username or "default"),
            "password": self.clickhouse_password.get_secret_value()
            or unquote(parts.password or ""),
            "verify": True,
            "ca_cert": self.clickhouse_ca_file or None,
        }
