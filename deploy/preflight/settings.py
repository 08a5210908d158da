"""The settings of a process's start."""

from typing import Annotated

from pydantic import Field

from schemas.settings import Settings


class StartSettings(Settings):
    """Environment of every process; times in seconds."""

    start_timeout: Annotated[
        float,
        Field(
            alias="WEIR_START_TIMEOUT",
            ge=0,
            le=3600,
            description="How long a process waits at its start for servers that it cannot reach, "
            "and for topics and tables, before it ends with 78. 0: it looks once.",
        ),
    ] = 60.0
