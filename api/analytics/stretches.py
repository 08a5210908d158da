"""Which stretches of a range of time each rollup answers, the coarsest that fits first."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache
from operator import lt, sub
from typing import Final


class Level(StrEnum):
    """The units of time that counts are kept by, in UTC, coarsest first; raw: each event."""

    MONTH = "month"
    DAY = "day"
    HOUR = "hour"
    QUARTER_HOUR = "quarter_hour"
    RAW = "raw"


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time in epoch ms: start inclusive, end exclusive."""

    start: int
    end: int


_DAY_MS: Final = 86_400_000
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_END: Final = (date(2106, 1, 1).toordinal() - _EPOCH_DAY) * _DAY_MS
# In order, each a whole number of the next. A month has its shortest; a millisecond always fits.
_SHORTEST: Final = {
    Level.MONTH: 28 * _DAY_MS,
    Level.DAY: _DAY_MS,
    Level.HOUR: 3_600_000,
    Level.QUARTER_HOUR: 900_000,
    Level.RAW: 1,
}
_LEVELS: Final = tuple(_SHORTEST)


def cover(
    boundaries: Sequence[int],
    *,
    finest: Level = Level.QUARTER_HOUR,
    coarsest: Level = Level.MONTH,
) -> dict[Level, list[Stretch]]:
    """Covers a range that is cut into buckets by whole units: what to read from which rollup.

    `boundaries` are epoch ms, ascending: the range's start, the buckets' boundaries within it,
    its end. Each bucket is covered by the coarsest units that fit into it whole, from `coarsest`
    to `finest`, and by raw milliseconds where none fits. The stretches of a level are ascending
    and disjoint, and joined where they touch, also across boundaries, as no unit crosses one; a
    level without any is absent. Together they are exactly the range; {} when it is empty.

    Raises ValueError for fewer than two boundaries, for some out of order or outside 1970 to
    2106, and when `finest` is coarser than `coarsest`.
    """
    if len(boundaries) < 2 or boundaries[0] < 0 or boundaries[-1] > _END:
        raise ValueError("a range needs a start and an end within 1970 to 2106")
    if any(map(lt, boundaries[1:], boundaries)):
        raise ValueError("the boundaries of buckets must ascend")
    levels = _LEVELS[_LEVELS.index(coarsest) : _LEVELS.index(finest) + 1]
    if not levels:
        raise ValueError(f"the finest level, {finest}, is coarser than the coarsest, {coarsest}")
    covered: dict[Level, list[Stretch]] = {}
    # What is still uncovered, as starts and ends: pairs would cost as much as all else.
    starts, ends = boundaries[:-1], boundaries[1:]
    for level in dict.fromkeys((*levels, Level.RAW)):
        # Where no gap is as long as a unit, as at most levels of most series, none fits.
        if max(map(sub, ends, starts), default=0) >= _SHORTEST[level]:
            stretches, starts, ends = _split(starts, ends, level)
            if stretches:
                covered[level] = stretches
    return covered


def _split(
    starts: Sequence[int], ends: Sequence[int], level: Level
) -> tuple[list[Stretch], list[int], list[int]]:
    """What whole units of a level cover of some gaps, and starts and ends of the gaps left."""
    if level is Level.MONTH:
        months = _months()
        firsts = [months[bisect_left(months, start)] for start in starts]
        lasts = [months[bisect_right(months, end) - 1] for end in ends]
    else:
        unit = _SHORTEST[level]
        firsts = [start + -start % unit for start in starts]
        lasts = [end - end % unit for end in ends]
    begun: list[int] = []
    ended: list[int] = []
    left_starts: list[int] = []
    left_ends: list[int] = []
    reached = -1
    for start, end, first, last in zip(starts, ends, firsts, lasts, strict=True):
        if first < last:
            if first == reached:
                ended[-1] = last
            else:
                begun.append(first)
                ended.append(last)
            reached = last
            if start < first:
                left_starts.append(start)
                left_ends.append(first)
            if last < end:
                left_starts.append(last)
                left_ends.append(end)
        elif start < end:
            left_starts.append(start)
            left_ends.append(end)
    return list(map(Stretch, begun, ended)), left_starts, left_ends


@lru_cache(maxsize=1)
def _months() -> tuple[int, ...]:
    """Begins (epoch ms) of all months from 1970 to the end of what can be asked."""
    return tuple(
        (date(year, month, 1).toordinal() - _EPOCH_DAY) * _DAY_MS
        for year in range(1970, 2107)
        for month in range(1, 13)
    )
