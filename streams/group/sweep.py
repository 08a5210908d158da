"""Forgets entries whose time is over, a few at a time, in the table and in its changelog.

Time is the log's: an entry goes when a command that arrived after its end has been committed.
So a replay, which begins at the last commit, never finds less than the first time found.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from streams.group.places import Put
from streams.group.table import KeyedStore
from streams.group.table_lane import MAX_IN_FLIGHT, Flight, TableLane
from streams.records import Record

SCANNED: Final = 500
"""Entries that are looked at in one step: about a millisecond."""

SWEEP_SECONDS: Final = 1.0
MARGIN: Final = 3_600_000
"""Milliseconds: brokers' clocks may step back, or differ between one leader and the next."""


KeptUntil = Callable[[bytes, bytes], int | None]
"""Until when an entry, by key and value, is kept: epoch milliseconds of the log's time, or None:
for ever."""


class Sweep:
    """Goes round and round the table of one partition."""

    def __init__(
        self,
        lane: TableLane,
        store: KeyedStore,
        kept_until: KeptUntil,
        acknowledged: Callable[[], Record | None],
    ) -> None:
        """`acknowledged`: the last message of the partition that is done."""
        self._kept_until = kept_until
        self._acknowledged = acknowledged
        self._lane = lane
        self._store = store
        self._after = b""
        self._now = 0
        self._next: tuple[int, int] | None = None

    def step(self, committed: int) -> int:
        """Looks at the next entries; returns how many are forgotten.

        `committed`: the offset of the commands at which a replay would begin.
        """
        self._pass_time(committed)
        if self._lane.in_flight > MAX_IN_FLIGHT // 2:
            return 0
        entries = self._store.scan(self._lane.partition, self._after, SCANNED)
        over: list[Put] = [
            (key, None)
            for key, value in entries
            if (until := self._kept_until(key, value)) is not None
            and until + MARGIN <= self._now
            and not self._lane.is_changing(key)
        ]
        # One less may have come: the table's own entry is left out.
        self._after = entries[-1][0] if len(entries) >= SCANNED - 1 else b""
        if over:
            self._lane.submit(Flight(puts=over))
        return len(over)

    def _pass_time(self, committed: int) -> None:
        if self._next is not None and committed > self._next[0]:
            self._now = max(self._now, self._next[1])
            self._next = None
        latest = self._acknowledged()
        if self._next is None and latest is not None:
            self._next = (latest.offset, latest.timestamp)


async def sweep_for_ever(
    sweeps: Mapping[int, Sweep],
    committed: Callable[[int], int],
    failed: Callable[[BaseException], None],
) -> None:
    """A step of each partition's sweep, again and again; `sweeps` are those owned at the time.

    `committed`: the offset at which a replay of a partition would begin.
    """
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            for partition, sweep in tuple(sweeps.items()):
                sweep.step(committed(partition))
        except Exception as error:  # noqa: BLE001, nobody else waits for this
            failed(error)
            return
