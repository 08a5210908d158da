"""A worker's table: what the changelog says, kept in RocksDB by Faust.

Unlike Faust's own tables the local copy is never ahead of the changelog: a value is written here
once Kafka has it, together with its offset. And a value never replaces one that is newer, however
late it was written (see `places`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from threading import Lock
from typing import Any, Final, cast

import faust
from faust.stores.rocksdb import Store
from faust.tables.manager import TableManager
from faust.types import TP, AppT, CollectionT, EventT
from rocksdict import BottommostLevelCompaction, CompactOptions, Rdict, WriteBatch
from yarl import URL

from streams.group.places import Put, deleted_place, is_older
from streams.group.reading import raw_schema
from streams.group.table_folder import OFFSET_KEY
from streams.records import Headers

_OPTIONS: Final = {
    # Each partition has its own database with all of these; Faust's default is 2 GiB of cache.
    "block_cache_size": 16 << 20,
    "write_buffer_size": 8 << 20,
    "max_write_buffer_number": 2,
    "driver": "rocksdict",
}


LONGEST_ENDING: Final = 16
"""Bytes of an id, with which keys end."""

Range = tuple[bytes, bytes]
"""The first and the last of the keys that are meant."""


def range_below(prefix: bytes) -> Range:
    """The keys that are the prefix and an id behind it, or a text."""
    # No text holds such a byte.
    return prefix, prefix + b"\xff" * (LONGEST_ENDING + 1)


class NotRecovered(Exception):
    """Faust ended its recovery before all of the changelog was read."""


class KeyedStore(Store):
    """One RocksDB database for each partition; keys and values are bytes."""

    topic_id: bytes = b""
    """Of the topic that makes values, by which values are told apart that another topic's made."""

    failed: Callable[[BaseException], None]
    """Ends the process; a table sets it."""

    def __post_init__(self) -> None:
        self._stale: dict[int, set[bytes]] = {}
        # A database that is compacted cannot be closed.
        self._compacts: defaultdict[int, Lock] = defaultdict(Lock)

    def read(self, partition: int, key: bytes) -> bytes | None:
        value: bytes | None = self._database(partition).get(key)
        return value

    def write(self, partition: int, puts: Iterable[Put], offset: int) -> None:
        """Writes what the changelog holds up to this offset, which is remembered with it."""
        batch = WriteBatch(raw_mode=True)
        for key, value in puts:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(OFFSET_KEY, str(offset).encode())
        self._database(partition).write(batch)

    def scan(self, partition: int, after: bytes, most: int) -> list[tuple[bytes, bytes]]:
        """The next entries in the order of their keys, this one left out; fewer: the last."""
        entries = self._database(partition).items(from_key=after + b"\x00")
        # In raw mode all are bytes.
        found = cast("Iterable[tuple[bytes, bytes]]", islice(entries, most))
        return [each for each in found if each[0] != OFFSET_KEY]

    def keys_below(self, partition: int, prefix: bytes) -> Iterator[bytes]:
        """The keys that begin so, in their order."""
        for key in self._database(partition).keys(from_key=prefix):
            # In raw mode all are bytes.
            found = cast("bytes", key)
            if not found.startswith(prefix):
                return
            yield found

    def compact(self, partition: int, ranges: Iterable[Range]) -> None:
        """Takes what was deleted or overwritten there off the disk; blocks, so in a thread.

        RocksDB only marks it as gone, and drops it whenever it next compacts. Ends early when the
        database is closed.
        """
        options = CompactOptions()
        # Else a file that lies at the bottom already stays as it is, with the marks' keys.
        options.set_bottommost_level_compaction(BottommostLevelCompaction.force_optimized())
        # Else RocksDB's own compactions wait, and with them who writes.
        options.set_exclusive_manual_compaction(False)
        with self._compacts[partition]:
            database: Rdict | None = self._dbs.get(partition)
            if database is None:
                return
            try:
                database.flush()
                for first, last in ranges:
                    database.compact_range(first, last, options)
            except Exception:
                # rocksdict raises no narrower one.
                if self._dbs.get(partition) is database:
                    raise

    def take_stale(self, partition: int) -> list[Put]:
        """What the changelog holds an older value of behind the newer one, to be written again."""
        stale = sorted(self._stale.pop(partition, set()))
        current = [(key, self.read(partition, key)) for key in stale]
        return [(key, value) for key, value in current if value is not None]

    def apply_changelog_batch(
        self,
        batch: Iterable[EventT[object]],
        to_key: Callable[[Any], Any],  # noqa: ARG002, Faust's signature
        to_value: Callable[[Any], Any],  # noqa: ARG002
    ) -> None:
        """Takes changelog events in, except values that are older than what is here."""
        try:
            by_partition: dict[int, list[EventT[object]]] = {}
            for event in batch:
                by_partition.setdefault(event.message.partition, []).append(event)
            for partition, events in by_partition.items():
                self._apply(partition, events)
        except BaseException as error:
            # Faust would log it as a warning and go on.
            self.failed(error)
            raise

    def _apply(self, partition: int, events: Sequence[EventT[object]]) -> None:
        database = self._database(partition)
        stale = self._stale.setdefault(partition, set())
        changed: dict[bytes, bytes | None] = {}
        for event in events:
            key, value = event.message.key or b"", event.message.value
            current = changed[key] if key in changed else database.get(key)
            # As aiokafka reads them, though Faust's type says mapping or list.
            headers = cast("Headers", event.message.headers or ())
            place = value if value is not None else deleted_place(headers)
            if current is not None and place is not None and self.is_older(place, current):
                stale.add(key)
            else:
                changed[key] = value
                stale.discard(key)
        self.write(partition, changed.items(), events[-1].message.offset)

    def is_older(self, value: bytes, current: bytes) -> bool:
        return is_older(value, current, self.topic_id)

    def revoke_partitions(self, table: CollectionT, tps: set[TP]) -> None:
        # Faust leaves closing to the garbage collector, and a database is open only once.
        for tp in tps:
            if tp.topic in table.changelog_topic.topics and tp.partition in self._dbs:
                self._close(tp.partition)
                self._stale.pop(tp.partition, None)

    async def stop(self) -> None:
        for partition in tuple(self._dbs):
            self._close(partition)

    def _close(self, partition: int) -> None:
        # First: so a compaction knows why it ends.
        database: Rdict = self._dbs.pop(partition)
        compacts = self._compacts[partition]
        is_compacted = compacts.locked()
        if is_compacted:
            database.cancel_all_background(wait=False)
        with compacts:
            try:
                database.close()
            except Exception:
                # What it has not flushed then is in its log of writes, and it is closed.
                if not is_compacted:
                    raise

    def _database(self, partition: int) -> Rdict:
        database: Rdict = self._db_for_partition(partition)
        return database


class KeyedTable(faust.Table[bytes, bytes]):
    """Tells Faust which changelog to keep; agents read and write the store itself.

    `on_ready(partition, next_offset)` is called when a partition of this worker is complete, with
    the offset that its next change gets unless somebody else writes too.
    """

    def __init__(
        self,
        app: AppT,
        name: str,
        *,
        changelog: str,
        partitions: int,
        topic_id: bytes,
        on_ready: Callable[[int, int], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        super().__init__(
            app,
            name=name,
            key_type=bytes,
            value_type=bytes,
            partitions=partitions,
            store="rocksdb://",
            changelog_topic=app.topic(
                changelog,
                schema=raw_schema(),
                partitions=partitions,
                acks=False,
                internal=True,
                allow_empty=True,
                maxsize=131_072,
            ),
            beacon=app.tables.beacon,
        )
        self._topic_id = topic_id
        self._on_ready = on_ready
        self._failed = failed

    def _new_store_by_url(self, url: str | URL) -> KeyedStore:
        store = KeyedStore(
            url,
            self.app,
            self,
            table_name=self.name,
            key_type=self.key_type,
            key_serializer=self.key_serializer,
            value_serializer=self.value_serializer,
            value_type=self.value_type,
            options=dict(_OPTIONS),
        )
        store.topic_id = self._topic_id
        store.failed = self._failed
        return store

    @property
    def store(self) -> KeyedStore:
        store = self.data
        assert isinstance(store, KeyedStore)  # noqa: S101, made above
        return store

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        try:
            self._open(active_tps)
            await super().on_recovery_completed(active_tps, standby_tps)
        except BaseException as error:
            # Faust does not look at how this ends.
            self._failed(error)
            raise

    def _open(self, partitions: set[TP]) -> None:
        recovery = cast("TableManager", self.app.tables).recovery
        if recovery.signal_recovery_start.is_set():
            # Partitions have been given out again: what was read is of the time before.
            return
        for tp in partitions:
            if recovery.active_offsets[tp] < recovery.active_highwaters[tp]:
                raise NotRecovered(f"{tp} was recovered only in part")
            self._on_ready(tp.partition, recovery.active_highwaters[tp] + 1)
