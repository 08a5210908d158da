"""A topic's dead letters of a minute are counted, and above the limit it stops for good."""

from dataclasses import dataclass

import pytest

from streams.failures import Invalid
from streams.sink.dead_letter_rate import DeadLetterRate
from streams.sink.records import Headers, Record


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


def letters(count: int, reason: str = "not_json") -> list[tuple[Record, Invalid]]:
    return [(Message(), Invalid(reason, "why"))] * count


def test_it_stops_above_the_limit_and_says_why() -> None:
    rate = DeadLetterRate("page-views", 10, clock=Clock())
    assert rate.admits(letters(4))
    assert rate.admits(letters(6))
    assert not rate.admits(letters(1, "wrong_key"))
    assert rate.stopped is not None
    assert (rate.stopped.letters, rate.stopped.limit) == (11, 10)
    for word in ("page-views", "11", "=10", "wrong_key", "start the sink again"):
        assert word in str(rate.stopped)


def test_what_is_older_than_a_minute_is_forgotten() -> None:
    clock = Clock()
    rate = DeadLetterRate("page-views", 10, clock=clock)
    assert rate.admits(letters(6))
    clock.now += 30
    assert rate.admits(letters(4))
    clock.now += 31
    assert rate.admits(letters(6))
    assert not rate.admits(letters(1))


def test_it_stays_stopped() -> None:
    clock = Clock()
    rate = DeadLetterRate("page-views", 10, clock=clock)
    assert not rate.admits(letters(11))
    clock.now += 3_600
    assert not rate.admits(letters(1))
    assert not rate.admits([])


def test_a_limit_of_zero_never_stops() -> None:
    rate = DeadLetterRate("page-views", 0, clock=Clock())
    assert rate.admits(letters(1_000_000))


def test_what_is_counted_without_asking_is_not_refused_but_what_follows_is() -> None:
    rate = DeadLetterRate("page-views", 10, clock=Clock())
    rate.count(100)
    assert rate.stopped is None
    assert rate.admits([])
    assert not rate.admits(letters(1))


def test_its_memory_is_bounded() -> None:
    clock = Clock()
    rate = DeadLetterRate("page-views", 10**9, clock=clock)
    for _ in range(10_000):
        clock.now += 0.05
        assert rate.admits(letters(1))
    assert len(rate._seconds) <= 61
    assert sum(count for _, count in rate._seconds) == pytest.approx(1_200, abs=20)
