"""The settings of the social worker."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from schemas.servers import KafkaSettings
from schemas.tracing import TracingSettings
from streams.social.generator_settings import GeneratorSettings


class SocialSettings(KafkaSettings, GeneratorSettings, TracingSettings):
    """Environment of the social worker; times in seconds unless the name says otherwise."""

    group: Annotated[
        str,
        Field(
            alias="WEIR_SOCIAL_GROUP",
            pattern=r"^[A-Za-z0-9._-]{1,128}$",
            description="Its consumer group.",
        ),
    ] = "weir-social"
    session_timeout: Annotated[
        float,
        Field(
            alias="WEIR_SOCIAL_SESSION_TIMEOUT",
            ge=1,
            le=60,
            description="After this long without a sign of life others take its posts over.",
        ),
    ] = 10.0
    in_flight: Annotated[
        int,
        Field(
            alias="WEIR_GENERATIONS_IN_FLIGHT",
            ge=1,
            le=1000,
            description="How many posts a worker generates at once.",
        ),
    ] = 100
    own_folder: Annotated[
        str,
        Field(
            alias="WEIR_SOCIAL_DIR",
            description="The folder that is this worker's alone; each of a machine needs its own.",
        ),
    ] = ""
    health_host: Annotated[
        str,
        Field(alias="WEIR_SOCIAL_HOST", min_length=1, description="Where /readyz is answered."),
    ] = "127.0.0.1"
    health_port: Annotated[
        int,
        Field(
            alias="WEIR_SOCIAL_PORT",
            ge=0,
            le=65535,
            description="Port of /healthz and /readyz; 0: they are not answered.",
        ),
    ] = 0

    @property
    def folder(self) -> Path:
        """The worker's own folder, absolute."""
        folder = Path(self.own_folder) if self.own_folder else self.data_dir / "social"
        return folder.expanduser().absolute()
