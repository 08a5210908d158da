"""What a lane's batches were: counted once a batch, whatever its size."""

from collections import Counter, deque

from aiokafka.structs import TopicPartition

from schemas.metrics import sink as declared
from schemas.metrics.consumers import DEAD_LETTERS
from schemas.metrics.instruments import counter, histogram
from schemas.topics import registered_name
from streams.failures import Failure, Overloaded
from streams.lag import Standing
from streams.records import Record
from streams.sink.records import Made


class LaneMeasures:
    """Of one partition. Nothing here awaits, and nothing is kept but two offsets."""

    def __init__(self, place: TopicPartition, table: str, committed: int | None) -> None:
        """`committed`: what the group has committed of the partition; None: nothing."""
        self._place = place
        self._table = table
        self._topic = registered_name(place.topic)
        self._committed = committed
        # The first of each batch that is not committed: of the one that is stored, if it waits
        # for the next one's note, and of the next.
        self._begun: deque[tuple[int, int]] = deque(maxlen=2)

    def took(self, record: Record) -> None:
        """A batch begins with this record."""
        self._begun.append((record.offset, record.timestamp))

    def committed(self, offset: int) -> None:
        """Everything below the offset is stored, and the group knows it."""
        self._committed = offset
        while self._begun and self._begun[0][0] < offset:
            self._begun.popleft()

    def standing(self) -> Standing | None:
        """Where the partition stands; None while nothing is known."""
        if self._begun:
            first, arrived = self._begun[0]
            return Standing(self._place, first, arrived)
        return None if self._committed is None else Standing(self._place, self._committed, None)

    def inserted(self, seconds: float) -> None:
        """An insert has succeeded within so many seconds."""
        histogram(declared.INSERT_DURATION, self._table).observe(seconds)

    def failed(self, failure: Failure) -> None:
        """An insert has failed, and is repeated."""
        kind = "overloaded" if isinstance(failure, Overloaded) else "retryable"
        counter(declared.INSERT_FAILURES, self._table, kind).inc()

    def stored(self, messages: int, made: Made, rows: int) -> None:
        """A batch of so many messages is stored, of which so many rows were new."""
        topic = self._topic
        counter(declared.BATCHES, topic).inc()
        counter(declared.MESSAGES, topic).inc(messages)
        counter(declared.ROWS, self._table).inc(rows)
        for reason, count in Counter(failure.reason for _, failure in made.invalid).items():
            counter(DEAD_LETTERS, topic, reason).inc(count)
        counter(declared.DUPLICATES, topic).inc(len(made.ids) - rows)
