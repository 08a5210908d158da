"""What the embedded ClickHouse reads from the environment."""

from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from schemas.settings import Settings

_MEBIBYTE: Final = 1024 * 1024


def _without_question_mark(folder: Path) -> Path:
    if "?" in str(folder.resolve()):
        raise ValueError(
            "the path may not hold a question mark, which the engine takes for options"
        )
    return folder


class EmbeddedClickHouseSettings(Settings):
    """Environment of one embedded ClickHouse, which listens on 127.0.0.1 only."""

    port: Annotated[int, Field(alias="WEIR_CLICKHOUSE_PORT", ge=1, le=65535)] = 8123
    data_dir: Annotated[
        Path,
        AfterValidator(_without_question_mark),
        Field(
            alias="WEIR_DATA_DIR",
            description="Folder of all local parts; this one's files are in its `clickhouse`.",
        ),
    ] = Path(".weir")
    max_memory: Annotated[
        int,
        Field(
            alias="WEIR_CLICKHOUSE_MAX_MEMORY",
            ge=256 * _MEBIBYTE,
            description="Bytes for all queries, inserts and merges together; beyond it: code 241.",
        ),
    ] = 2048 * _MEBIBYTE
    connections: Annotated[
        int,
        Field(
            alias="WEIR_CLICKHOUSE_CONNECTIONS",
            ge=1,
            le=256,
            description="Queries that run at the same time; further ones wait.",
        ),
    ] = 8
    max_waiting: Annotated[
        int,
        Field(
            alias="WEIR_CLICKHOUSE_MAX_WAITING",
            ge=0,
            le=10_000,
            description="Requests that may wait for their turn; beyond it: code 202.",
        ),
    ] = 100
    wait_timeout: Annotated[
        float,
        Field(
            alias="WEIR_CLICKHOUSE_WAIT_TIMEOUT",
            gt=0,
            le=600,
            description="Seconds a request waits for its turn before it gets code 202.",
        ),
    ] = 30.0
    body_timeout: Annotated[
        float,
        Field(
            alias="WEIR_CLICKHOUSE_BODY_TIMEOUT",
            gt=0,
            le=3600,
            description="Seconds between two pieces of a request's body before it gets code 209.",
        ),
    ] = 60.0
    send_timeout: Annotated[
        float,
        Field(
            alias="WEIR_CLICKHOUSE_SEND_TIMEOUT",
            gt=0,
            le=3600,
            description="Seconds a client may read nothing of its result before it is cut off.",
        ),
    ] = 300.0
    max_body: Annotated[
        int,
        Field(
            alias="WEIR_CLICKHOUSE_MAX_BODY",
            ge=_MEBIBYTE,
            description="Bytes of one request's body as it is sent; beyond it: code 229.",
        ),
    ] = 2048 * _MEBIBYTE

    @property
    def folder(self) -> Path:
        """The folder of the engine's files."""
        return self.data_dir / "clickhouse"
