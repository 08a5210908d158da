"""An id is known when its first copy lies at a lower offset of the partition, in the window."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from aiokafka.structs import TopicPartition
from clickhouse_connect import get_client

from streams.sink import known_ids
from streams.sink.known_ids import KnownIds
from streams.sink.records import Source
from streams.sink.store import ClickHouseStore
from tests.weir import Weir

pytestmark = pytest.mark.services

NOW = datetime.now(UTC).replace(microsecond=0)
WINDOW = timedelta(days=7)
SOURCE = Source(TopicPartition("page-views", 1), 7)


@pytest_asyncio.fixture(loop_scope="session")
async def store(weir: Weir) -> AsyncIterator[ClickHouseStore]:
    own = ClickHouseStore(weir.clickhouse, insert_timeout=10)
    yield own
    await own.close()


def arrived(weir: Weir, *rows: tuple[str, int, UUID, int, datetime], incarnation: int = 7) -> None:
    settings = weir.clickhouse
    with get_client(**settings.clickhouse_arguments(), database=settings.database) as client:
        client.insert(
            "known_ids",
            [(*row, incarnation) for row in rows],
            column_names=["topic", "partition", "id", "offset", "received_at", "incarnation"],
        )


async def known(
    store: ClickHouseStore, *ids: UUID, before: int = 1_000, at: datetime = NOW
) -> set[UUID]:
    own = KnownIds(SOURCE, WINDOW, store)
    found = await own.known([each.bytes for each in ids], before=before, first_arrival=at)
    return {UUID(bytes=each) for each in found}


async def test_only_lower_offsets_of_the_same_partition_in_the_window_count(
    weir: Weir, store: ClickHouseStore
) -> None:
    usual, later, elsewhere, other_topic, old, new = (uuid4() for _ in range(6))
    arrived(
        weir,
        ("page-views", 1, usual, 10, NOW),
        ("page-views", 1, later, 1_000, NOW),
        ("page-views", 2, elsewhere, 10, NOW),
        ("conversions", 1, other_topic, 10, NOW),
        ("page-views", 1, old, 10, NOW - WINDOW - timedelta(seconds=1)),
    )
    before_kafka_was_made_anew = uuid4()
    arrived(weir, ("page-views", 1, before_kafka_was_made_anew, 5_000, NOW), incarnation=6)
    assert await known(store, before_kafka_was_made_anew) == {before_kafka_was_made_anew}
    ids = (usual, later, elsewhere, other_topic, old, new)
    assert await known(store, *ids) == {usual}
    assert await known(store, *ids, before=1_001) == {usual, later}
    # A batch that waited on Kafka is judged by when it arrived, not by the clock.
    assert await known(store, *ids, at=NOW - timedelta(seconds=2)) == {usual, old}


async def test_a_full_filter_is_made_anew_and_forgets_nothing(
    weir: Weir, store: ClickHouseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_ids, "MIN_CAPACITY", 100)
    own = KnownIds(SOURCE, WINDOW, store)
    everything: list[UUID] = []
    for turn in range(8):
        batch = [uuid4() for _ in range(60)]
        found = await own.known([each.bytes for each in batch], before=turn * 60, first_arrival=NOW)
        assert found == frozenset()
        own.add([each.bytes for each in batch])
        arrived(
            weir,
            *(("page-views", 1, each, turn * 60 + index, NOW) for index, each in enumerate(batch)),
        )
        everything += batch
    copies = await own.known([each.bytes for each in everything], before=10_000, first_arrival=NOW)
    assert copies == {each.bytes for each in everything}
