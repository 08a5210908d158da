"""Notices when commands lie on Kafka and are not read, whatever the reason.

Faust's consumers have ways of standing still that no exception tells of; a worker that is started
anew goes on.
"""

from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Final

from streams.group.log_reader import LogReader

CHECK_SECONDS: Final = 5.0
STANDS_STILL: Final = 10.0
REBALANCES: Final = 40.0
"""So long giving partitions out may take, reading the table left out."""


class Stalled(Exception):
    """The worker owns commands and does not read them."""


class Stalls:
    """Remembers since when each partition has not come further."""

    def __init__(
        self, reader: LogReader, commands: str, clock: Callable[[], float] = monotonic
    ) -> None:
        self._reader = reader
        self._commands = commands
        self._clock = clock
        self._since: dict[int, tuple[int | None, float]] = {}
        self._rebalancing_since: float | None = None

    def forget(self) -> None:
        """Whatever stood still had a reason."""
        self._since.clear()

    def rebalances(self, is_so: bool) -> None:  # noqa: FBT001, a fact, not an option
        """Whether partitions are given out now. Raises Stalled when it does not end."""
        if not is_so:
            self._rebalancing_since = None
            return
        self._since.clear()
        if self._rebalancing_since is None:
            self._rebalancing_since = self._clock()
        elif self._clock() - self._rebalancing_since > REBALANCES:
            raise Stalled("the group has not given out its partitions; Faust waits for something")

    async def check(self, assigned: Iterable[int], read: Mapping[int, int]) -> None:
        """Raises Stalled when commands of an assigned partition wait for longer than is well.

        `read`: the offset up to which each partition was read; KafkaError when the log's end
        cannot be asked for.
        """
        standing = [
            partition for partition in assigned if self._has_stood(partition, read.get(partition))
        ]
        if not standing:
            return
        ends = await self._reader.ends(self._commands, standing)
        for partition in standing:
            begin, end = read.get(partition, 0), ends[partition]
            # At the end there may be marks of a transaction, which are no commands.
            if begin < end and not await self._reader.is_empty(
                self._commands, partition, begin, end
            ):
                raise Stalled(
                    f"commands of partition {partition} from offset {begin} on are not read, "
                    f"though the log goes to {end}"
                )

    def _has_stood(self, partition: int, read: int | None) -> bool:
        before, since = self._since.get(partition, (None, 0.0))
        if partition not in self._since or before != read:
            self._since[partition] = read, self._clock()
            return False
        return self._clock() - since > STANDS_STILL
