"""The settings of the sink."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from schemas.servers import ClickHouseSettings, KafkaSettings
from schemas.tracing import TracingSettings


class SinkSettings(KafkaSettings, ClickHouseSettings, TracingSettings):
    """Environment of the sink process; times in seconds unless the name says otherwise."""

    group: Annotated[
        str, Field(alias="WEIR_SINK_GROUP", min_length=1, description="Its consumer group.")
    ] = "weir-sink"
    batch_rows: Annotated[int, Field(alias="WEIR_SINK_BATCH_ROWS", ge=1, le=100_000)] = 50_000
    batch_bytes: Annotated[
        int,
        Field(
            alias="WEIR_SINK_BATCH_BYTES",
            ge=65_536,
            le=134_217_728,
            description="Below ClickHouse's 256 MiB, so that a batch is one block, one token.",
        ),
    ] = 16_777_216
    linger: Annotated[
        float,
        Field(
            alias="WEIR_SINK_LINGER",
            ge=0,
            le=60,
            description="How long a batch waits for more; with a little insert time this is "
            "how fresh the answers are.",
        ),
    ] = 0.25
    session_timeout: Annotated[
        float,
        Field(
            alias="WEIR_SINK_SESSION_TIMEOUT",
            ge=1,
            le=300,
            description="After this long without a sign of life others take its partitions.",
        ),
    ] = 10.0
    insert_timeout: Annotated[
        float, Field(alias="WEIR_SINK_INSERT_TIMEOUT", gt=0, le=600, description="Of one attempt.")
    ] = 300.0
    give_up_after: Annotated[
        float,
        Field(
            alias="WEIR_SINK_GIVE_UP_AFTER",
            gt=0,
            description="A batch that could not be stored for so long ends the process.",
        ),
    ] = 900.0
    dead_letters_per_minute: Annotated[
        int,
        Field(
            alias="WEIR_SINK_DEAD_LETTERS_PER_MINUTE",
            ge=0,
            description="Of one topic in one process; above it the topic's stream stops. 0: never.",
        ),
    ] = 30_000
    health_host: Annotated[
        str,
        Field(alias="WEIR_SINK_HOST", min_length=1, description="Where /readyz is answered."),
    ] = "127.0.0.1"
    health_port: Annotated[
        int,
        Field(
            alias="WEIR_SINK_PORT",
            ge=0,
            le=65535,
            description="Port of /healthz and /readyz; 0: they are not answered.",
        ),
    ] = 0
    deduplication_days: Annotated[
        int,
        Field(
            alias="WEIR_DEDUPLICATION_DAYS",
            ge=1,
            le=7,
            description="A copy of an event counts as known this long after the first arrived; "
            "ids are kept 43 days.",
        ),
    ] = 7

    @property
    def deduplication_window(self) -> timedelta:
        return timedelta(days=self.deduplication_days)
