"""The embedded ClickHouse as the one server of a cluster: `python -m tests.clustered_clickhouse`.

All shards of the cluster (`SHARDS`) are this server, so what is inserted into one of them is read
once for each. Distributed tables, the routing of inserts and tokens are the engine's own. What
needs a Keeper, which the engine does not have, is taken out of statements before they reach it:
that they run on all servers, and that tables are replicated.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.local.clickhouse.__main__ import main
from deploy.local.clickhouse.engine import Connection, Engine, Progress

CLUSTER: Final = "weir"
_ON_CLUSTER: Final = re.compile(rf" ON CLUSTER `{CLUSTER}`")
_REPLICATED: Final = re.compile(r"\bReplicated(\w*MergeTree)\('[^']*', '[^']*'\)")
_WINDOW: Final = re.compile(
    r"\breplicated_deduplication_window = (\d+), replicated_deduplication_window_seconds = \d+"
)
_SYNC: Final = re.compile(r"SYSTEM SYNC REPLICA\b.*")


def without_keeper(sql: str) -> str:
    """The statement as one server without a Keeper takes it."""
    sql = _SYNC.sub("SELECT 1", _ON_CLUSTER.sub("", sql))
    return _WINDOW.sub(r"non_replicated_deduplication_window = \1", _REPLICATED.sub(r"\1", sql))


def _configuration(shards: int) -> str:
    # The port is never listened on: by it the server knows that the address is its own.
    shard = """
        <shard>
            <internal_replication>true</internal_replication>
            <replica><host>127.0.0.1</host><port>9000</port></replica>
        </shard>"""
    return f"""<clickhouse>
    <tcp_port>9000</tcp_port>
    <remote_servers><{CLUSTER}>{shard * shards}</{CLUSTER}></remote_servers>
</clickhouse>
"""


def run() -> None:
    file = Path(os.environ["WEIR_DATA_DIR"]) / "cluster.xml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(_configuration(int(os.environ["SHARDS"])))
    open_session, query = Engine._open, Connection.query

    def opened(self: Engine, options: Mapping[str, object]) -> Connection:
        # The first session loads the engine.
        loads = "max_server_memory_usage" in options
        return open_session(self, {**options, "config-file": file} if loads else options)

    def asked(self: Connection, sql: str, output: str) -> tuple[bytes, Progress]:
        return query(self, without_keeper(sql), output)

    Engine._open = opened  # type: ignore[method-assign]
    Connection.query = asked  # type: ignore[method-assign]
    main()


if __name__ == "__main__":
    run()
