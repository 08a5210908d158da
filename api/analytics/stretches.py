"""Which stretches of a range of time each rollup answers, the coarsest that fits first."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from operator import lt, sub
from typing import Final


class Level(IntEnum):
    """The units of time that counts are kept by, in seconds since 1970, coarsest first.

    Each is a whole number of the next; raw is each event by itself.
    """

    SIXTY_FOUR_DAYS = 5_529_600
    SIXTEEN_DAYS = 1_382_400
    FOUR_DAYS = 345_600
    DAY = 86_400
    FOUR_HOURS = 14_400
    HOUR = 3_600
    QUARTER_HOUR = 900
    RAW = 0


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time in epoch ms: start inclusive, end exclusive."""

    start: int
    end: int


_END: Final = 4_291_747_200_000
"""2106-01-01 in epoch ms."""


def cover(
    boundaries: Sequence[int], *, finest: Level = Level.QUARTER_HOUR
) -> dict[Level, list[Stretch]]:
    """Covers a range that is cut into buckets by whole units: what to read from which rollup.

    `boundaries` are epoch ms, ascending: the range's start, the buckets' boundaries within it,
    its end. Each bucket is covered by the coarsest units that fit into it whole, none finer than
    `finest`, and by raw milliseconds where none fits. The stretches of a level are ascending and
    disjoint, and joined where they touch, also across boundaries, as no unit crosses one; a level
    without any is absent. Together they are exactly the range; {} when it is empty.

    Raises ValueError for fewer than two boundaries, and for some out of order or outside 1970
    to 2106.
    """
    if len(boundaries) < 2 or boundaries[0] < 0 or boundaries[-1] > _END:
        raise ValueError("a range needs a start and an end within 1970 to 2106")
    if any(map(lt, boundaries[1:], boundaries)):
        raise ValueError("the boundaries of buckets must ascend")
    covered: dict[Level, list[Stretch]] = {}
    # What is still uncovered, as starts and ends: pairs would cost as much as all else.
    starts, ends = boundaries[:-1], boundaries[1:]
    for level in Level:
        if Level.RAW < level < finest:
            continue
        # A millisecond always fits.
        unit = level * 1000 or 1
        # Where no gap is as long as a unit, as at most levels of most series, none fits.
        if max(map(sub, ends, starts), default=0) >= unit:
            stretches, starts, ends = _split(starts, ends, unit)
            if stretches:
                covered[level] = stretches
    return covered


def _split(
    starts: Sequence[int], ends: Sequence[int], unit: int
) -> tuple[list[Stretch], list[int], list[int]]:
    """What whole units (ms) cover of some gaps, and starts and ends of the gaps left."""
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
