"""The settings of the billing worker."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from schemas.meters import MetersSettings
from schemas.plans import PlansSettings
from schemas.servers import KafkaSettings
from schemas.stripe_account import StripeSettings
from schemas.tracing import TracingSettings


class BillingSettings(
    KafkaSettings, StripeSettings, MetersSettings, PlansSettings, TracingSettings
):
    """Environment of the billing worker; times in seconds unless the name says otherwise."""

    group: Annotated[
        str,
        Field(
            alias="WEIR_BILLING_GROUP",
            pattern=r"^[A-Za-z0-9._-]{1,128}$",
            description="Its consumer group.",
        ),
    ] = "weir-billing"
    session_timeout: Annotated[
        float,
        Field(
            alias="WEIR_BILLING_SESSION_TIMEOUT",
            ge=1,
            le=60,
            description="After this long without a sign of life others take its customers over.",
        ),
    ] = 10.0
    in_flight: Annotated[
        int,
        Field(
            alias="WEIR_BILLING_IN_FLIGHT",
            ge=1,
            le=1000,
            description="How many customers' reports are under way to Stripe at once.",
        ),
    ] = 50
    stripe_timeout: Annotated[
        float,
        Field(
            alias="WEIR_STRIPE_TIMEOUT",
            ge=1,
            le=80,
            description="How long Stripe may take for one.",
        ),
    ] = 20.0
    data_dir: Annotated[Path, Field(alias="WEIR_DATA_DIR")] = Path(".weir")
    own_folder: Annotated[
        str,
        Field(
            alias="WEIR_BILLING_DIR",
            description="The folder that is this worker's alone; each of a machine needs its own.",
        ),
    ] = ""
    health_host: Annotated[
        str,
        Field(alias="WEIR_BILLING_HOST", min_length=1, description="Where /readyz is answered."),
    ] = "127.0.0.1"
    health_port: Annotated[
        int,
        Field(
            alias="WEIR_BILLING_PORT",
            ge=0,
            le=65535,
            description="Port of /healthz and /readyz; 0: they are not answered.",
        ),
    ] = 0

    @property
    def folder(self) -> Path:
        """The worker's own folder, absolute."""
        folder = Path(self.own_folder) if self.own_folder else self.data_dir / "billing"
        return folder.expanduser().absolute()
