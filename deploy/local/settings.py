"""The settings of Weir on one machine: ports, the data folder, servers used instead."""

from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from deploy.local.ports import LOOPBACK
from schemas.settings import Settings

BUILT_PAGES: Final = Path(__file__).parents[2] / "frontend" / "dist"
"""Where `make pages` builds them."""

Port = Annotated[int, Field(ge=1, le=65535)]


class LocalSettings(Settings):
    """The environment of `weir up`."""

    api_port: Annotated[Port, Field(alias="WEIR_API_PORT")] = 8000
    metrics_port: Annotated[Port, Field(alias="WEIR_API_METRICS_PORT")] = 8005
    kafka_port: Annotated[Port, Field(alias="WEIR_KAFKA_PORT")] = 9092
    clickhouse_port: Annotated[Port, Field(alias="WEIR_CLICKHOUSE_PORT")] = 8123
    sink_port: Annotated[Port, Field(alias="WEIR_SINK_PORT")] = 8001
    quotas_port: Annotated[Port, Field(alias="WEIR_QUOTAS_PORT")] = 8002
    social_port: Annotated[Port, Field(alias="WEIR_SOCIAL_PORT")] = 8003
    billing_port: Annotated[Port, Field(alias="WEIR_BILLING_PORT")] = 8004
    data_dir: Annotated[Path, Field(alias="WEIR_DATA_DIR")] = Path(".weir")
    kafka_elsewhere: Annotated[str, Field(alias="KAFKA_BOOTSTRAP_SERVERS")] = ""
    stripe_key: Annotated[SecretStr, Field(alias="STRIPE_API_KEY")] = SecretStr("")
    clickhouse_elsewhere: Annotated[SecretStr, Field(alias="CLICKHOUSE_URL")] = SecretStr("")

    pages_dir: Annotated[str, Field(alias="WEIR_PAGES_DIR")] = ""

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        by_port: dict[int, list[str]] = {}
        for setting, (_, port) in self.ports().items():
            by_port.setdefault(port, []).append(setting)
        for port, settings in by_port.items():
            if len(settings) > 1:
                msg = f"{' and '.join(settings)} are both {port}: give each a port of its own"
                raise ValueError(msg)
        return self

    def ports(self) -> dict[str, tuple[str, int]]:
        """The ports that are listened on here: setting to title and port."""
        ports = {
            "WEIR_API_PORT": ("the API", self.api_port),
            "WEIR_API_METRICS_PORT": ("the API's metrics", self.metrics_port),
            "WEIR_SINK_PORT": ("the sink's health", self.sink_port),
            "WEIR_QUOTAS_PORT": ("the quotas' health", self.quotas_port),
            "WEIR_SOCIAL_PORT": ("the social posts' health", self.social_port),
        }
        if self.bills:
            ports["WEIR_BILLING_PORT"] = ("billing's health", self.billing_port)
        if not self.kafka_elsewhere:
            ports["WEIR_KAFKA_PORT"] = ("Kafka", self.kafka_port)
        if not self.clickhouse_elsewhere.get_secret_value():
            ports["WEIR_CLICKHOUSE_PORT"] = ("ClickHouse", self.clickhouse_port)
        return ports

    @property
    def folder(self) -> Path:
        """The data folder, absolute; a relative one lies in the current directory."""
        return self.data_dir.expanduser().absolute()

    @property
    def bills(self) -> bool:
        """Whether use is reported to Stripe."""
        return bool(self.stripe_key.get_secret_value())

    @property
    def pages(self) -> dict[str, str]:
        """The API's environment about the pages: those of this checkout, once they are built."""
        built = not self.pages_dir and (BUILT_PAGES / "index.html").is_file()
        return {"WEIR_PAGES_DIR": str(BUILT_PAGES)} if built else {}

    @property
    def bootstrap_servers(self) -> str:
        return self.kafka_elsewhere or f"{LOOPBACK}:{self.kafka_port}"

    @property
    def clickhouse_url(self) -> str:
        """May hold a password: not for messages."""
        return (
            self.clickhouse_elsewhere.get_secret_value()
            or f"http://{LOOPBACK}:{self.clickhouse_port}"
        )

    @property
    def clickhouse_host(self) -> str:
        """The server's host, fit for messages."""
        return urlsplit(self.clickhouse_url).hostname or "CLICKHOUSE_URL"

    @property
    def api_url(self) -> str:
        return f"http://{LOOPBACK}:{self.api_port}"
