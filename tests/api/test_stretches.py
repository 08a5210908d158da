"""Each instant of a range is read from the coarsest rollup whose unit lies in its bucket."""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from time import perf_counter
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from api.analytics.buckets import Interval, bucket_starts
from api.analytics.stretches import Level, Stretch, cover

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = 3_600_000
LEVELS = list(Level)
UNITS: list[Level] = [level for level in LEVELS if level is not Level.RAW]


def ms(text: str) -> int:
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)


END = ms("2106-01-01")


def unit(at: int, level: Level) -> tuple[int, int]:
    """The unit of a level that holds an instant."""
    hours = {
        Level.SIXTY_FOUR_DAYS: 64 * 24,
        Level.SIXTEEN_DAYS: 16 * 24,
        Level.FOUR_DAYS: 4 * 24,
        Level.DAY: 24,
        Level.FOUR_HOURS: 4,
        Level.HOUR: 1,
        Level.QUARTER_HOUR: 0.25,
    }
    length = 1 if level is Level.RAW else int(hours[level] * HOUR)
    return at // length * length, (at // length + 1) * length


def expected(at: int, boundaries: list[int]) -> Level:
    """The statement for one instant: the coarsest level whose unit lies in the bucket."""
    after = bisect_right(boundaries, at)
    bucket = boundaries[after - 1], boundaries[after]
    for level in UNITS:
        begin, end = unit(at, level)
        if bucket[0] <= begin and end <= bucket[1]:
            return level
    return Level.RAW


def assert_covers(covered: dict[Level, list[Stretch]], boundaries: list[int]) -> None:
    assert all(covered.values()), "a level without stretches is absent"
    for level, stretches in covered.items():
        for stretch in stretches:
            assert stretch.start < stretch.end
            assert unit(stretch.start, level)[0] == stretch.start
            assert unit(stretch.end - 1, level)[1] == stretch.end
        for earlier, later in pairwise(stretches):
            assert earlier.end < later.start, "ascending, disjoint and joined"
    together = sorted(
        (stretch.start, stretch.end, level)
        for level, stretches in covered.items()
        for stretch in stretches
    )
    reached = boundaries[0]
    for start, end, level in together:
        assert start == reached, "no gap and no overlap"
        reached = end
        inside = {start, end - 1, (start + end) // 2}
        near = boundaries[bisect_right(boundaries, start) :][:40]
        inside |= {at for at in (*near, *(each - 1 for each in near)) if start <= at < end}
        for at in inside:
            assert expected(at, boundaries) == level, EPOCH + timedelta(milliseconds=at)
    assert reached == boundaries[-1]


@st.composite
def series(draw: st.DrawFn) -> list[int]:
    """Boundaries close together or decades apart, each on a unit of some level or on none."""
    start = draw(st.integers(0, END - 1))
    reach = draw(
        st.sampled_from([1, 900_000, HOUR, 24 * HOUR, 32 * 24 * HOUR, 400 * 24 * HOUR, END])
    )
    instants = draw(st.lists(st.integers(0, 3 * reach), min_size=1, max_size=30))
    on = st.sampled_from(LEVELS)
    every = draw(st.none() | on)
    return sorted(
        min(unit(min(start + each, END - 1), every or draw(on))[draw(st.integers(0, 1))], END)
        for each in (0, *instants)
    )


@settings(max_examples=500)
@given(series())
@example([0, END])
@example([0, 1])
@example([END - 1, END])
@example([ms("2024-02-01"), ms("2024-03-01")])
@example([ms("2023-01-31T23:59:59.999"), ms("2023-03-01T00:00:00.001")])
@example([ms("2100-01-01"), ms("2100-02-28T23:00"), ms("2100-03-01"), ms("2100-04-01")])
def test_each_instant_is_in_the_coarsest_unit_that_fits_its_bucket(boundaries: list[int]) -> None:
    assert_covers(cover(boundaries), boundaries)


@settings(max_examples=100)
@given(
    st.sampled_from(
        ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Monrovia"]
    ),
    st.sampled_from(["minute", "hour", "day", "week", "month"]),
    st.integers(0, END // 2),
    st.integers(1, 300),
)
def test_the_buckets_of_a_time_series_are_covered(
    zone: str, interval: Interval, start: int, buckets: int
) -> None:
    each = {"minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800, "month": 2_678_400}
    end = min(start + each[interval] * buckets * 1_000 + start % 977, END)
    first, last = (EPOCH + timedelta(milliseconds=at) for at in (start, end))
    starts = bucket_starts(first, last, interval, ZoneInfo(zone))
    inner = [(at - EPOCH) // timedelta(milliseconds=1) for at in starts[1:]]
    boundaries = [start, *inner, end]
    assert_covers(cover(boundaries), boundaries)


def test_a_range_is_cut_from_the_middle_outwards() -> None:
    begin = 320 * 64 * 24 * HOUR
    boundaries = [begin - 10 * 24 * HOUR - 20 * 60_000, begin + 64 * 24 * HOUR + HOUR + 1]
    assert cover(boundaries) == {
        Level.SIXTY_FOUR_DAYS: [Stretch(begin, begin + 64 * 24 * HOUR)],
        Level.FOUR_DAYS: [Stretch(begin - 8 * 24 * HOUR, begin)],
        Level.DAY: [Stretch(begin - 10 * 24 * HOUR, begin - 8 * 24 * HOUR)],
        Level.HOUR: [Stretch(begin + 64 * 24 * HOUR, begin + 64 * 24 * HOUR + HOUR)],
        Level.QUARTER_HOUR: [Stretch(begin - 10 * 24 * HOUR - 15 * 60_000, begin - 10 * 24 * HOUR)],
        Level.RAW: [
            Stretch(boundaries[0], begin - 10 * 24 * HOUR - 15 * 60_000),
            Stretch(boundaries[1] - 1, boundaries[1]),
        ],
    }


def test_no_unit_crosses_a_boundary() -> None:
    """A day that is cut at ten is ten and fourteen hours, four of them at once where they fit."""
    day = [ms("2026-01-01"), ms("2026-01-01T10:00"), ms("2026-01-02")]
    assert cover(day) == {
        Level.FOUR_HOURS: [Stretch(day[0], day[0] + 8 * HOUR), Stretch(day[0] + 12 * HOUR, day[2])],
        Level.HOUR: [Stretch(day[0] + 8 * HOUR, day[0] + 12 * HOUR)],
    }
    assert cover([day[0], day[0] + 1, day[2]])[Level.RAW] == [Stretch(day[0], day[0] + 15 * 60_000)]


def test_stretches_that_touch_are_joined_across_boundaries() -> None:
    days = [ms("2026-01-01") + 24 * HOUR * day for day in range(365)]
    assert cover(days) == {Level.DAY: [Stretch(days[0], days[-1])]}
    minutes = [ms("2026-01-01") + 60_000 * minute for minute in range(100)]
    assert cover(minutes) == {Level.RAW: [Stretch(minutes[0], minutes[-1])]}


def test_an_empty_range_needs_nothing() -> None:
    assert cover([5, 5]) == {}
    assert cover([HOUR, HOUR, HOUR]) == {}


@pytest.mark.parametrize(
    ("boundaries", "said"),
    [
        ([], "a start and an end"),
        ([5], "a start and an end"),
        ([-1, 5], "1970 to 2106"),
        ([5, END + 1], "1970 to 2106"),
        ([5, 4], "ascend"),
        ([1, 9, 8, 10], "ascend"),
    ],
)
def test_what_is_no_series_of_boundaries_is_refused(boundaries: list[int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        cover(boundaries)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu"])
@pytest.mark.parametrize("interval", ["minute", "hour", "day", "week", "month"])
def test_two_thousand_boundaries_are_quick(zone: str, interval: Interval) -> None:
    """Printed, not judged: a machine at work is slower than any bound worth having."""
    each = {"minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800, "month": 2_600_000}
    first = datetime(1971, 2, 3, 4, 5, 6, tzinfo=UTC)
    last = first + timedelta(seconds=each[interval] * (1_990 if interval != "month" else 1_600))
    inner = [
        (at - EPOCH) // timedelta(milliseconds=1)
        for at in bucket_starts(first, last, interval, ZoneInfo(zone))[1:]
    ]
    took, count = _timed([inner[0] - 1_001, *inner, inner[-1] + 1_001])
    print(f"{len(inner)} by {interval} in {zone}: {took:.2f} ms for {count} stretches")


def test_one_range_is_quick() -> None:
    took, count = _timed([ms("2026-01-01T01:01:01"), ms("2026-05-03T01:01:01.005")])
    print(f"one range: {took * 1_000:.0f} µs for {count} stretches")


def _timed(boundaries: list[int]) -> tuple[float, int]:
    """The least time in ms, and how many stretches."""
    times = []
    for _ in range(20):
        began = perf_counter()
        covered = cover(boundaries)
        times.append((perf_counter() - began) * 1_000)
    return min(times), sum(map(len, covered.values()))
