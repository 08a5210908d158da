"""The settings of the quotas worker."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from schemas.plans import PlansSettings
from schemas.servers import KafkaSettings
from schemas.tracing import TracingSettings


class QuotasSettings(KafkaSettings, PlansSettings, TracingSettings):
    """Environment of the quotas worker; times in seconds unless the name says otherwise."""

    group: Annotated[
        str,
        Field(
            alias="WEIR_QUOTAS_GROUP",
            pattern=r"^[A-Za-z0-9._-]{1,128}$",
            description="Its consumer group.",
        ),
    ] = "weir-quotas"
    session_timeout: Annotated[
        float,
        Field(
            alias="WEIR_QUOTAS_SESSION_TIMEOUT",
            ge=1,
            le=60,
            description="After this long without a sign of life others take its users. Brokers "
            "allow 6 and more, if not told otherwise.",
        ),
    ] = 6.0
    standby_replicas: Annotated[
        int,
        Field(
            alias="WEIR_QUOTAS_STANDBYS",
            ge=0,
            le=3,
            description="How many other workers keep a copy of a partition at hand, so that they "
            "take it over at once. 1 is good with two workers and more.",
        ),
    ] = 0
    data_dir: Annotated[Path, Field(alias="WEIR_DATA_DIR")] = Path(".weir")
    own_folder: Annotated[
        str,
        Field(
            alias="WEIR_QUOTAS_DIR",
            description="Its local copy of the accounts; each worker of a machine needs its own.",
        ),
    ] = ""
    health_host: Annotated[
        str,
        Field(alias="WEIR_QUOTAS_HOST", min_length=1, description="Where /readyz is answered."),
    ] = "127.0.0.1"
    health_port: Annotated[
        int,
        Field(
            alias="WEIR_QUOTAS_PORT",
            ge=0,
            le=65535,
            description="Port of /healthz and /readyz; 0: they are not answered.",
        ),
    ] = 0

    @property
    def folder(self) -> Path:
        """Where the local copy lies, absolute."""
        folder = Path(self.own_folder) if self.own_folder else self.data_dir / "quotas"
        return folder.expanduser().absolute()
