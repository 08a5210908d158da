"""A topic's dead letters of a minute are counted, and above the limit it stops for good."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import pytest
from aiokafka.structs import TopicPartition

from streams.failures import Invalid
from streams.records import Headers, Record
from streams.sink.dead_letter_rate import DeadLetterRate
from streams.sink.records import Source

SOURCE = Source(TopicPartition("page-views", 0), 7)


@dataclass(frozen=True)
class Message:
    offset: int = 1
    timestamp: int = 1_795_000_000_000
    key: bytes | None = None
    value: bytes | None = b"{"
    headers: Headers = ()


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


class Letters:
    """Messages of a partition, each behind those before."""

    def __init__(self) -> None:
        self._offsets: Iterator[int] = count()

    def __call__(self, number: int, reason: str = "not_json") -> list[tuple[Record, Invalid]]:
        offsets = [next(self._offsets) for _ in range(number)]
        return [(Message(offset), Invalid(reason, "why")) for offset in offsets]


@pytest.fixture
def letters() -> Letters:
    return Letters()


def test_it_stops_above_the_limit_and_says_why(letters: Letters) -> None:
    rate = DeadLetterRate("page-views", 10, clock=Clock())
    assert rate.admits(SOURCE, letters(4))
    assert rate.admits(SOURCE, letters(6))
    assert not rate.admits(SOURCE, letters(1, "wrong_key"))
    assert rate.stopped is not None
    assert (rate.stopped.letters, rate.stopped.limit) == (11, 10)
    for word in ("page-views", "11", "=10", "wrong_key", "start the sink again"):
        assert word in str(rate.stopped)


def test_what_is_older_than_a_minute_is_forgotten(letters: Letters) -> None:
    clock = Clock()
    rate = DeadLetterRate("page-views", 10, clock=clock)
    assert rate.admits(SOURCE, letters(6))
    clock.now += 30
    assert rate.admits(SOURCE, letters(4))
    clock.now += 31
    assert rate.admits(SOURCE, letters(6))
    assert not rate.admits(SOURCE, letters(1))


def test_it_stays_stopped(letters: Letters) -> None:
    clock = Clock()
    rate = DeadLetterRate("page-views", 10, clock=clock)
    assert not rate.admits(SOURCE, letters(11))
    clock.now += 3_600
    assert not rate.admits(SOURCE, letters(1))
    assert not rate.admits(SOURCE, [])


def test_a_limit_of_zero_never_stops(letters: Letters) -> None:
    rate = DeadLetterRate("page-views", 0, clock=Clock())
    assert rate.admits(SOURCE, letters(1_000_000))


def test_what_is_counted_without_asking_is_not_refused_but_what_follows_is(
    letters: Letters,
) -> None:
    rate = DeadLetterRate("page-views", 10, clock=Clock())
    rate.count(SOURCE, letters(100))
    assert rate.stopped is None
    assert rate.admits(SOURCE, [])
    assert not rate.admits(SOURCE, letters(1))


def test_its_memory_is_bounded(letters: Letters) -> None:
    clock = Clock()
    rate = DeadLetterRate("page-views", 10**9, clock=clock)
    for _ in range(10_000):
        clock.now += 0.05
        assert rate.admits(SOURCE, letters(1))
    assert len(rate._seconds) <= 61
    assert sum(count for _, count in rate._seconds) == pytest.approx(1_200, abs=20)


def test_a_batch_that_is_gathered_again_after_a_rebalance_counts_once(letters: Letters) -> None:
    rate = DeadLetterRate("page-views", 10, clock=Clock())
    batch = letters(6)
    for again in (batch, batch[:2], batch, batch[3:] + letters(2)):
        assert rate.admits(SOURCE, again)
    rate.count(SOURCE, batch)
    assert rate.admits(SOURCE, letters(2))
    assert not rate.admits(SOURCE, letters(1))
    assert rate.stopped is not None
    assert rate.stopped.letters == 11


def test_a_batch_in_doubt_that_is_repeated_again_counts_once(letters: Letters) -> None:
    rate = DeadLetterRate("page-views", 10, clock=Clock())
    in_doubt = letters(9)
    for _ in range(3):
        rate.count(SOURCE, in_doubt)
    assert rate.admits(SOURCE, letters(1))
    assert not rate.admits(SOURCE, letters(1))


def test_other_partitions_and_a_topic_made_anew_have_offsets_of_their_own() -> None:
    rate = DeadLetterRate("page-views", 10, clock=Clock())
    other = Source(TopicPartition("page-views", 1), 7)
    anew = Source(SOURCE.partition, 8)
    for source in (SOURCE, other, anew):
        assert rate.admits(source, Letters()(3))
    assert not rate.admits(other, Letters()(5))
