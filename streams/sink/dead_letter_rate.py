"""How many dead letters a topic makes in a minute, and whether its stream has to stop."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final

import structlog
from aiokafka.structs import TopicPartition

from streams.failures import Invalid
from streams.records import Record
from streams.sink.records import Source

log = structlog.get_logger()

WINDOW: Final = 60.0


@dataclass(frozen=True, slots=True)
class Stopped:
    """Why a stream stands still; `letters` is what a minute would have had."""

    topic: str
    letters: int
    limit: int
    first_reason: str

    def __str__(self) -> str:
        return (
            f"{self.topic} stands still: {self.letters} dead letters within a minute, more than "
            f"WEIR_SINK_DEAD_LETTERS_PER_MINUTE={self.limit} (first reason: {self.first_reason}); "
            "repair what writes to it, then start the sink again, with a higher limit or 0 when "
            "what lies there already is to become dead letters"
        )


class DeadLetterRate:
    """Of one topic in this process: its lanes share it, so it outlives each of them.

    Once stopped it stays so until the process ends: a stream that went on by itself a minute
    later would drain a broken producer into `dead-letters` all the same, a batch a minute.

    A message counts once, however often its batch is gathered again after a rebalance or
    repeated from its note: batches of a partition come in order, so all up to the highest that
    was counted were.
    """

    def __init__(self, topic: str, limit: int, *, clock: Callable[[], float] = monotonic) -> None:
        """`limit` is per minute, 0: never stop. `clock` says seconds and never goes back."""
        self._topic = topic
        self._limit = limit
        self._clock = clock
        # The letters of a second each, so at most 61 of them.
        self._seconds: deque[tuple[int, int]] = deque()
        # Of each partition the incarnation, and the highest offset that was counted.
        self._counted: dict[TopicPartition, tuple[int, int]] = {}
        self.stopped: Stopped | None = None

    def count(self, source: Source, invalid: Sequence[tuple[Record, Invalid]]) -> None:
        """Counts messages of a source that become dead letters whatever the rate is."""
        if letters := len(self._new(source, invalid)):
            self._counted[source.partition] = (source.incarnation, invalid[-1][0].offset)
            second = int(self._clock())
            if self._seconds and self._seconds[-1][0] == second:
                letters += self._seconds.pop()[1]
            self._seconds.append((second, letters))
            self._forget()

    def admits(self, source: Source, invalid: Sequence[tuple[Record, Invalid]]) -> bool:
        """Whether these messages of a source, in order, may become dead letters, which counts them.

        When not, the stream is stopped.
        """
        if self.stopped is not None:
            return False
        new = self._new(source, invalid)
        if not self._limit or not new:
            return True
        self._forget()
        letters = sum(count for _, count in self._seconds) + len(new)
        if letters <= self._limit:
            self.count(source, new)
            return True
        record, first = new[0]
        self.stopped = Stopped(self._topic, letters, self._limit, first.reason)
        log.error(
            "a stream stands still: too many dead letters",
            topic=self._topic,
            letters_within_a_minute=letters,
            limit=self._limit,
            first_reason=first.reason,
            first_detail=first.detail,
            first_offset=record.offset,
            advice="repair what writes to the topic, then start the sink again; with a higher "
            "WEIR_SINK_DEAD_LETTERS_PER_MINUTE, or 0, it takes what lies there already",
        )
        return False

    def _new(
        self, source: Source, invalid: Sequence[tuple[Record, Invalid]]
    ) -> Sequence[tuple[Record, Invalid]]:
        """Those that were not counted before."""
        incarnation, highest = self._counted.get(source.partition, (source.incarnation, -1))
        if incarnation != source.incarnation or not invalid or invalid[0][0].offset > highest:
            return invalid
        return [each for each in invalid if each[0].offset > highest]

    def _forget(self) -> None:
        since = self._clock() - WINDOW
        while self._seconds and self._seconds[0][0] <= since:
            self._seconds.popleft()
