"""The sink: rows a second from a full topic, against the same rows inserted alone."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from time import perf_counter, sleep

import clickhouse_connect
import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.structs import TopicPartition
from uuid_utils import uuid7

from deploy.local.managed_process import ManagedProcess
from schemas.partitioning import partition_for
from schemas.topics import PAGE_VIEWS
from streams.records import Headers
from streams.sink.records import Source
from streams.sink.rows import EVENT_COLUMNS, encode_rows, event_rows
from streams.sink.store import INSERT_SETTINGS
from tests.weir import Weir, all_taken

EVENTS = 1_000_000
ROWS_AT_ONCE = 50_000


@dataclass(frozen=True)
class KafkaMessage:
    """A record as the sink sees it, for making the rows that are inserted alone."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


def messages(count: int) -> list[tuple[bytes, bytes]]:
    """Page views (key, value) of the last two days on 500 paths by 50,000 visitors."""
    chance = random.Random(1)
    now = datetime.now(UTC)
    made = []
    for _ in range(count):
        event_id = str(uuid7())
        occurred = now - timedelta(seconds=chance.random() * 172_800)
        value = {
            "event_type": "page_view",
            "path": f"/products/item-{chance.randrange(500)}",
            "event_id": event_id,
            "user_id": f"user-{chance.randrange(10_000)}",
            "visitor_id": f"v{chance.randrange(50_000)}",
            "occurred_at": occurred.isoformat(timespec="milliseconds")[:-6] + "Z",
            "metadata": {"status": 200, "method": "GET", "referrer": "https://example.com/"},
        }
        made.append((event_id.encode(), orjson.dumps(value)))
    return made


async def fill(weir: Weir, made: list[tuple[bytes, bytes]]) -> None:
    """Writes the messages to `page-views`, as fast as Kafka takes them."""
    producer = AIOKafkaProducer(
        **weir.kafka.client_arguments(),
        enable_idempotence=True,
        max_batch_size=262_144,
        compression_type="lz4",
    )
    await producer.start()
    topic = weir.topic(PAGE_VIEWS.name)
    waiting = []
    builders = [producer.create_batch() for _ in range(PAGE_VIEWS.partitions)]
    for key, value in made:
        number = partition_for(key, PAGE_VIEWS.partitions)
        if builders[number].append(timestamp=None, key=key, value=value) is None:
            waiting.append(await producer.send_batch(builders[number], topic, partition=number))
            builders[number] = producer.create_batch()
            builders[number].append(timestamp=None, key=key, value=value)
    for number, builder in enumerate(builders):
        waiting.append(await producer.send_batch(builder, topic, partition=number))
    await asyncio.gather(*waiting)
    await producer.stop()


async def from_a_full_topic(weir: Weir, alone: Weir, say: Callable[[str], None]) -> None:
    """(c) the sink, all rollups included and ids checked, against `raw_insert` alone."""
    made = messages(EVENTS)
    await fill(weir, made)
    # Before and after, since what a shared machine gives changes from minute to minute.
    blocks = _blocks(made)
    before = await asyncio.to_thread(_raw_insert, alone, blocks, "before")
    sink = weir.start_sink()
    rate = await asyncio.to_thread(_rows_a_second, weir, sink)
    after = await asyncio.to_thread(_raw_insert, alone, blocks, "after")
    raw = 2 / (1 / before + 1 / after)
    await weir.eventually(partial(all_taken, weir), process=sink)
    say(f"(c) sink: {rate:,.0f} rows/s from a full topic, ids checked, rollups included")
    say(
        f"    raw_insert of the same rows alone: {raw:,.0f} rows/s "
        f"({before:,.0f} before, {after:,.0f} after)"
    )
    say(f"    ratio {rate / raw:.2f} (asked: at least 0.7)")
    await sink.stop()


def _rows_a_second(weir: Weir, sink: ManagedProcess) -> float:
    """From the first rows to the last; asked seldom, on one connection, to cost little itself."""
    settings = weir.clickhouse
    with clickhouse_connect.get_client(
        **settings.clickhouse_arguments(), database=settings.database
    ) as client:
        began, first = 0.0, 0
        while True:
            [[rows]] = client.query("SELECT count() FROM events").result_rows
            now = perf_counter()
            if rows and not began:
                began, first = now, rows
            if rows == EVENTS:
                return float(EVENTS - first) / (now - began)
            if not sink.running:
                raise RuntimeError("\n".join(sink.last_lines()))
            sleep(0.1)


def _blocks(made: list[tuple[bytes, bytes]]) -> list[bytes]:
    """The bodies of the inserts that the sink makes of these messages."""
    now = int(datetime.now(UTC).timestamp() * 1000)
    blocks = []
    for start in range(0, len(made), ROWS_AT_ONCE):
        records = [
            KafkaMessage(start + index, now, key, value)
            for index, (key, value) in enumerate(made[start : start + ROWS_AT_ONCE])
        ]
        number = start // ROWS_AT_ONCE % PAGE_VIEWS.partitions
        source = Source(TopicPartition(PAGE_VIEWS.name, number), 0)
        blocks.append(encode_rows(event_rows(PAGE_VIEWS, source, records).rows))
    return blocks


def _raw_insert(weir: Weir, blocks: list[bytes], turn: str) -> float:
    settings = weir.clickhouse
    with clickhouse_connect.get_client(
        **settings.clickhouse_arguments(), database=settings.database
    ) as client:
        began = perf_counter()
        for number, block in enumerate(blocks):
            client.raw_insert(
                "events",
                column_names=EVENT_COLUMNS,
                insert_block=block,
                settings={**INSERT_SETTINGS, "insert_deduplication_token": f"{turn} {number}"},
                fmt="JSONCompactEachRow",
            )
        took = perf_counter() - began
        [[count]] = client.query("SELECT count() FROM events").result_rows
    if count % EVENTS:
        raise RuntimeError(f"raw_insert stored {count} rows")
    return EVENTS / took
