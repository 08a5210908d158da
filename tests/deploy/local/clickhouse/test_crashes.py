"""SIGKILL in the middle of inserts: what was acknowledged is there, once."""

import random
import threading
import time

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from tests.deploy.local.clickhouse.curl import curl
from tests.deploy.local.clickhouse.embedded import EmbeddedClickHouse

pytestmark = pytest.mark.services

_KILLS = 10
_ROWS = 2_000
_WRITERS = 2


class _Writer(threading.Thread):
    """Inserts batch after batch until the server is gone; repeats the one in doubt first."""

    def __init__(self, server: EmbeddedClickHouse, number: int, first_batch: int) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._number = number
        self.batch = first_batch

    def run(self) -> None:
        try:
            client = self._server.client()
            while True:
                first = self.batch * _ROWS
                client.raw_insert(
                    "events",
                    ["at", "writer", "id"],
                    b"\n".join(
                        b'["2026-0%d-01",%d,%d]' % (1 + number % 3, self._number, number)
                        for number in range(first, first + _ROWS)
                    ),
                    fmt="JSONCompactEachRow",
                    settings={
                        "insert_deduplication_token": f"{self._number}:{first}",
                        "deduplicate_blocks_in_dependent_materialized_views": 1,
                    },
                )
                self.batch += 1
        except (ClickHouseError, OSError):
            return


@pytest.mark.timeout(240)
def test_acknowledged_inserts_survive_ten_kills_exactly_once(
    own_clickhouse: EmbeddedClickHouse,
) -> None:
    own_clickhouse.start()
    window = "SETTINGS non_replicated_deduplication_window = 1000"
    for definition in (
        f"""CREATE TABLE events (at Date, writer UInt8, id UInt64) ENGINE = MergeTree
        PARTITION BY toYYYYMM(at) ORDER BY id {window}""",
        f"""CREATE TABLE rollup (writer UInt8, n AggregateFunction(count))
        ENGINE = AggregatingMergeTree ORDER BY writer {window}""",
        """CREATE MATERIALIZED VIEW view TO rollup AS
        SELECT writer, countState() AS n FROM events GROUP BY writer""",
    ):
        assert curl(own_clickhouse, body=definition).status == 200
    moments = random.Random(7)
    acknowledged = [0] * _WRITERS
    for _ in range(_KILLS):
        writers = [
            _Writer(own_clickhouse, number, batch) for number, batch in enumerate(acknowledged)
        ]
        for writer in writers:
            writer.start()
        deadline = time.monotonic() + moments.uniform(0.2, 1.0)
        while time.monotonic() < deadline and all(writer.is_alive() for writer in writers):
            writers[0].join(0.01)
        own_clickhouse.kill()
        for writer in writers:
            writer.join(10)
        acknowledged = [writer.batch for writer in writers]
        own_clickhouse.start()
        stored = curl(
            own_clickhouse,
            body="SELECT writer, uniqExact(id) FROM events GROUP BY writer ORDER BY writer",
        ).text
        for line in stored.splitlines():
            number, rows = map(int, line.split("\t"))
            assert rows >= acknowledged[number] * _ROWS
    assert min(acknowledged) > 0
    # The batches in doubt are repeated, and every number is exact.
    for number, batch in enumerate(acknowledged):
        writer = _Writer(own_clickhouse, number, batch)
        writer.start()
        while writer.batch < batch + 3:
            writer.join(0.01)
        acknowledged[number] = writer.batch
    own_clickhouse.terminate()
    assert own_clickhouse.wait() == 0
    own_clickhouse.start()
    counts = curl(
        own_clickhouse,
        body="SELECT count(), uniqExact(writer, id), (SELECT countMerge(n) FROM rollup) "
        "FROM events",
    ).text.split()
    assert counts[0] == counts[1] == counts[2]
    assert int(counts[0]) >= sum(acknowledged) * _ROWS
