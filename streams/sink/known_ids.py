"""Which ids of a partition have arrived before: a filter in memory, ClickHouse in doubt."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

import structlog
from rbloom import Bloom

from streams.failures import Retryable
from streams.sink.records import Source

log = structlog.get_logger()

FALSE_ALARMS: Final = 0.0001
"""One new id in ten thousand is asked about in vain; 2.4 bytes an id (measured: 0.2 µs each)."""
MIN_CAPACITY: Final = 1_000_000
"""2.4 MB for a partition that has anything on it."""
ASK_AT_ONCE: Final = 5_000

# In a cluster every replica of every shard is asked: one that is behind may lack what another has
# stored a moment ago, and an id that all of them give is known once.
COUNT_IDS: Final = """
SELECT count() FROM %s
WHERE topic = {topic:String} AND partition = {partition:UInt16}
  AND received_at >= toDateTime({since:UInt32}, 'UTC')
"""

# As RowBinary each id is then its 16 bytes in the order in which a UUID is written.
ALL_IDS: Final = """
SELECT UUIDToNum(id) FROM %s
WHERE topic = {topic:String} AND partition = {partition:UInt16}
  AND received_at >= toDateTime({since:UInt32}, 'UTC')
"""

# Only copies at lower offsets count, or a batch that is repeated would drop its own rows. What
# was stored under another incarnation is older, whatever its offset.
FIRST_COPIES: Final = """
SELECT DISTINCT id FROM %s
WHERE topic = {topic:String} AND partition = {partition:UInt16}
  AND id IN {ids:Array(UUID)}
  AND (incarnation != {incarnation:UInt32} OR offset < {before:UInt64})
  AND received_at >= toDateTime({since:UInt32}, 'UTC')
"""


class KnownIdsStore(Protocol):
    """What this needs of ClickHouse; both raise streams.failures' kinds."""

    @property
    def known_ids(self) -> str:
        """Where the ids are, in SQL."""

    async def rows(self, sql: str, parameters: dict[str, object]) -> Sequence[Sequence[object]]:
        """The rows of a question."""

    def row_binary(self, sql: str, parameters: dict[str, object]) -> AsyncIterator[bytes]:
        """The bytes of an answer in RowBinary, in pieces."""


class KnownIds:
    """The ids of one partition's window.

    A Bloom filter lets nearly every new id through without a question; ClickHouse is asked
    about the rest. Its memory is bounded by twice the ids of the window: a full filter is made
    anew from ClickHouse, which has forgotten what is older.
    """

    def __init__(self, source: Source, window: timedelta, store: KnownIdsStore) -> None:
        """`window`: how long an id stays known after it arrived."""
        self.source = source
        self._window = window
        self._store = store
        self._filter: Bloom | None = None
        self._capacity = 0
        self._added = 0

    @property
    def loaded(self) -> bool:
        return self._filter is not None

    async def _load(self, first_arrival: datetime) -> None:
        """Fills the filter with all ids that ClickHouse has of the window before an arrival.

        Arrivals only grow within a partition, so the window of every later record is in it.
        """
        parameters = self._parameters(first_arrival)
        ids_in = self._store.known_ids
        [[count]] = await self._store.rows(COUNT_IDS % ids_in, parameters)
        capacity = max(MIN_CAPACITY, 2 * int(str(count)))
        filled: Bloom = Bloom(capacity, FALSE_ALARMS)
        added = 0
        async for ids in _sixteens(self._store.row_binary(ALL_IDS % ids_in, parameters)):
            filled.update(ids)
            added += len(ids)
        if added < int(str(count)):
            # An answer that broke off in the middle: ids would be taken for new.
            raise Retryable("ClickHouse gave fewer known ids than it counted")
        self._filter, self._capacity, self._added = filled, capacity, added
        log.debug("known ids loaded", partition=str(self.source.partition), ids=added)

    async def known(
        self, ids: Sequence[bytes], *, before: int, first_arrival: datetime
    ) -> frozenset[bytes]:
        """Those of a batch's ids whose first copy came before it, in the window.

        Before it: at a lower offset, or under another incarnation.

        `before` is the batch's first offset, `first_arrival` the arrival of its first record:
        both are the same when the batch is repeated, and so is the answer.
        """
        if self._filter is None or self._added + len(ids) > self._capacity:
            await self._load(first_arrival)
        arrived = self._required_filter()
        suspects = [each for each in ids if each in arrived]
        if not suspects:
            return frozenset()
        found: set[bytes] = set()
        for start in range(0, len(suspects), ASK_AT_ONCE):
            part = suspects[start : start + ASK_AT_ONCE]
            parameters = self._parameters(first_arrival) | {
                "before": before,
                "incarnation": self.source.incarnation,
                "ids": [str(UUID(bytes=each)) for each in part],
            }
            rows = await self._store.rows(FIRST_COPIES % self._store.known_ids, parameters)
            found.update(UUID(str(row[0])).bytes for row in rows)
        return frozenset(found)

    def add(self, ids: Sequence[bytes]) -> None:
        """Remembers ids that are about to be stored; one too many does no harm."""
        self._required_filter().update(ids)
        self._added += len(ids)

    def _required_filter(self) -> Bloom:
        if self._filter is None:
            raise AssertionError("known() comes first")
        return self._filter

    def _parameters(self, moment: datetime) -> dict[str, object]:
        since = moment.astimezone(UTC) - self._window
        return {
            "topic": self.source.partition.topic,
            "partition": self.source.partition.partition,
            "since": max(0, int(since.timestamp())),
        }


async def _sixteens(pieces: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    rest = b""
    async for piece in pieces:
        data = rest + piece
        whole = len(data) - len(data) % 16
        rest = data[whole:]
        yield [data[index : index + 16] for index in range(0, whole, 16)]
