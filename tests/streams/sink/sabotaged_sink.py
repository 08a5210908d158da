"""The sink with one safeguard switched off, or killed at one exact moment: for tests of tests."""

import os
import signal
from collections.abc import Sequence

from aiokafka.structs import OffsetAndMetadata

from deploy.commands.sink import sink
from streams.sink.batches import Span
from streams.sink.known_ids import KnownIds
from streams.sink.store import ClickHouseStore

_insert = ClickHouseStore.insert
_settings = ClickHouseStore.insert_settings


def no_token(self: ClickHouseStore, token: str) -> dict[str, object]:
    settings = _settings(self, token)
    del settings["insert_deduplication_token"]
    # Without a token ClickHouse compares contents; a repeated batch has the same.
    return settings | {"deduplicate_insert": "disable"}


def committed_before_the_insert(self: Span) -> OffsetAndMetadata:
    return self.done()


async def nothing_is_known(self: KnownIds, ids: Sequence[bytes], **_: object) -> frozenset[bytes]:
    return frozenset()


def nothing_is_added(self: KnownIds, ids: Sequence[bytes]) -> None:
    pass


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def killed_after_the_insert(
    self: ClickHouseStore,
    table: str,
    columns: Sequence[str],
    rows: bytes,
    token: str,
    shard: int = 0,
) -> None:
    await _insert(self, table, columns, rows, token, shard)
    _die()


async def killed_before_the_insert(
    self: ClickHouseStore,
    table: str,
    columns: Sequence[str],
    rows: bytes,
    token: str,
    shard: int = 0,
) -> None:
    _die()


def main() -> None:
    match os.environ.get("SABOTAGE"):
        case "no_token":
            ClickHouseStore.insert_settings = no_token  # type: ignore[method-assign]
        case "commit_before_insert":
            Span.noted = committed_before_the_insert  # type: ignore[method-assign]
        case "no_known_ids":
            KnownIds.known = nothing_is_known  # type: ignore[method-assign]
            KnownIds.add = nothing_is_added  # type: ignore[method-assign]
    match os.environ.get("KILLED"):
        case "after_insert":
            ClickHouseStore.insert = killed_after_the_insert  # type: ignore[method-assign]
        case "before_insert":
            ClickHouseStore.insert = killed_before_the_insert  # type: ignore[method-assign]
    sink()


main()
