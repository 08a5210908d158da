"""Whose turn it is: commands are decided one after the other, and none is left out.

Faust hands some over before it has gone to the committed offset, and may leave one out that it
had fetched while partitions were given out: it would take that for done, and commit it.
"""

from collections.abc import Awaitable, Callable, MutableMapping

from streams.group.log_reader import LogReader


class Turns:
    """The next command of each partition.

    `begins`: where reading a partition began, as far as that is known yet. `go_back(partition,
    offset)` makes Faust hand over from there on.
    """

    def __init__(
        self,
        reader: LogReader,
        commands: str,
        begins: MutableMapping[int, int],
        go_back: Callable[[int, int], Awaitable[None]],
    ) -> None:
        self._reader = reader
        self._commands = commands
        self._begins = begins
        self._go_back = go_back
        self._next: dict[int, int] = {}
        self._gone_back: dict[int, int] = {}

    @property
    def read(self) -> dict[int, int]:
        """The offset of the next command of each partition."""
        return {**self._begins, **self._next}

    def forget(self, partition: int) -> None:
        """Reading the partition begins anew."""
        self._next.pop(partition, None)
        self._gone_back.pop(partition, None)
        self._begins.pop(partition, None)

    async def has_come(self, partition: int, offset: int) -> bool:
        """Whether this command may be decided now; if not it is handed over again.

        Raises aiokafka's KafkaError when the log cannot be looked at.
        """
        expected = self._next.get(partition, self._begins.get(partition))
        if expected is None:
            return False
        if offset <= expected or self._gone_back.get(partition) == expected:
            return offset <= expected
        # Marks of transactions take offsets too.
        if await self._reader.is_empty(self._commands, partition, expected, offset):
            return True
        self._gone_back[partition] = expected
        await self._go_back(partition, expected)
        return False

    def take(self, partition: int, offset: int) -> None:
        """The command is decided."""
        self._next[partition] = max(self._next.get(partition, 0), offset + 1)
