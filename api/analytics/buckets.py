"""Where the buckets of a time series begin: minutes to months of a time zone's wall clock."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from difflib import get_close_matches
from functools import lru_cache
from importlib import resources
from typing import Final, Literal
from zoneinfo import ZoneInfo

from schemas.explanations import shown

Interval = Literal["minute", "hour", "day", "week", "month"]
MAX_BUCKETS: Final = 2_000
MAX_ZONE_CHARACTERS: Final = 64

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = _EPOCH.toordinal()
_DAY: Final = 86_400
_SECOND: Final = timedelta(seconds=1)

# Seconds of wall clock; the most that a month has.
_LENGTH: Final[Mapping[Interval, int]] = {
    "minute": 60,
    "hour": 3_600,
    "day": _DAY,
    "week": 7 * _DAY,
    "month": 31 * _DAY,
}
# Fewer buckets than the range's length says: a date that never happened, and an offset that
# was another at the range's begin. An hour and a minute end where the offset changes.
_FEWER: Final[Mapping[Interval, int]] = {"minute": 0, "hour": 0, "day": 2, "week": 2, "month": 2}
# 1970 began on a Thursday: a week that began on Monday was three days old.
_BEFORE_EPOCH: Final[Mapping[Interval, int]] = {"minute": 0, "hour": 0, "day": 0, "week": 3 * _DAY}
# Round lengths that stay below MAX_BUCKETS wherever they begin.
_LONGEST_RANGE: Final[Mapping[Interval, str]] = {
    "minute": "33 hours",
    "hour": "82 days",
    "day": "5 years",
    "week": "38 years",
    "month": "160 years",
}
# No zone since 1970 changed its offset twice within six days (a test reads all of them), so that
# nothing is missed between two looks.
_LOOK_EVERY: Final = timedelta(days=6)


class TooManyBuckets(ValueError):
    """The range has more buckets than an answer may have; the message says what to do."""


def bucket_starts(
    start: datetime, end: datetime, interval: Interval, zone: ZoneInfo
) -> list[datetime]:
    """UTC instants at which the buckets of [start, end) begin, ascending.

    The first bucket holds `start` and may begin before it; the last holds the last moment before
    `end`. A bucket is a longest run of instants at which the zone's wall clock shows the same
    date, week (from Monday) or month, or the same minute or hour at the same offset from UTC.
    So an hour that the clock repeats is two hours, a date that it skips is no day, and where
    it goes back across midnight a date is cut in two by the end of the day before.

    Raises ValueError unless both are aware and in order, TooManyBuckets above MAX_BUCKETS.
    """
    if start.tzinfo is None or end.tzinfo is None or start >= end:
        raise ValueError("a range needs two moments with a zone, the first before the second")
    first = (start - _EPOCH) // _SECOND
    last = -((_EPOCH - end) // _SECOND)
    at_least = _at_least(first, last, interval)
    if at_least <= MAX_BUCKETS:
        begins = _begins(first, last, interval, zone)
        if len(begins) <= MAX_BUCKETS:
            return [_EPOCH + timedelta(seconds=begin) for begin in begins]
        at_least = len(begins)
    raise TooManyBuckets(_too_many(first, last, interval, zone, at_least))


def zone_named(text: str) -> ZoneInfo:
    """The time zone of an IANA name, such as Europe/Berlin or UTC.

    Raises ValueError with a sentence for the client when there is none of that name.
    """
    if not text:
        raise ValueError("must not be empty; name a time zone, such as Europe/Berlin or UTC")
    if len(text) > MAX_ZONE_CHARACTERS:
        raise ValueError(
            f"is longer than {MAX_ZONE_CHARACTERS} characters; "
            "name a time zone, such as Europe/Berlin or UTC"
        )
    # Only a listed name ever becomes a path.
    if text not in _zone_names().values():
        raise ValueError(_unknown_zone(text))
    return _zone(text)


def local_text(moment: datetime, zone: ZoneInfo) -> str:
    """RFC 3339 in whole seconds (rounded down) with the zone's offset; Z for UTC itself.

    An offset with seconds, which RFC 3339 cannot write, is rounded to the minute and the wall
    clock moved with it, so that the text is the same instant.
    """
    local = moment.astimezone(zone)
    offset = local.utcoffset() or timedelta()
    if offset.seconds % 60:
        # Half a minute rounds up, which keeps a bucket's begin on its own date.
        rounded = (offset + timedelta(seconds=30)) // timedelta(minutes=1)
        return moment.astimezone(timezone(timedelta(minutes=rounded))).isoformat(timespec="seconds")
    text = local.isoformat(timespec="seconds")
    return f"{text[:-6]}Z" if not offset and local.tzname() == "UTC" else text


def _begins(first: int, last: int, interval: Interval, zone: ZoneInfo) -> list[int]:
    """Begins (epoch s) of the buckets of [first, last), the first of which may lie before."""
    # Whatever holds `first` began within its own length and a day that the clock went back.
    since = first - _LENGTH[interval] - (0 if interval in {"minute", "hour"} else _DAY) - 1
    begins: list[int] = []
    spans = _constant_offsets(since, last, zone)
    before: int | None = None
    for (begin, offset), (end, _) in zip(spans, [*spans[1:], (last, 0)], strict=True):
        if before is not None and (
            interval in {"minute", "hour"}
            or _number(begin - 1 + before, interval) != _number(begin + offset, interval)
        ):
            begins.append(begin)
        begins.extend(_within(begin + offset, end + offset, offset, interval))
        before = offset
    return begins[bisect_right(begins, first) - 1 :]


def _within(begin: int, end: int, offset: int, interval: Interval) -> Iterable[int]:
    """Begins (epoch s) strictly between two wall clocks (s) of one offset."""
    numbers = range(_number(begin, interval) + 1, _number(end - 1, interval) + 1)
    if interval == "month":
        return [
            (date(number // 12, number % 12 + 1, 1).toordinal() - _EPOCH_DAY) * _DAY - offset
            for number in numbers
        ]
    length = _LENGTH[interval]
    shift = _BEFORE_EPOCH[interval] + offset
    return range(numbers.start * length - shift, numbers.stop * length - shift, length)


def _number(wall: int, interval: Interval) -> int:
    """Counts buckets of the wall clock (s since 1970): months since year 0, others since 1970."""
    if interval == "month":
        day = date.fromordinal(wall // _DAY + _EPOCH_DAY)
        return day.year * 12 + day.month - 1
    return (wall + _BEFORE_EPOCH[interval]) // _LENGTH[interval]


def _constant_offsets(first: int, last: int, zone: ZoneInfo) -> list[tuple[int, int]]:
    """From when (epoch s, first `first`) which offset (s) holds within [first, last)."""
    spans = [(first, _offset(first, zone))]
    for year in range(_year(first), _year(last) + 1):
        spans += [span for span in _changes(zone, year) if first < span[0] < last]
    return spans


# The whole of 1970 to 2106 for some thirty zones.
@lru_cache(maxsize=4_096)
def _changes(zone: ZoneInfo, year: int) -> tuple[tuple[int, int], ...]:
    """When (epoch s) the offset changes to what (s), after a year's begin until the next one's."""
    # A clock that shows UTC and carries the zone, as fromutc wants it; within one zone a
    # difference is one of wall clocks. Three times as fast as astimezone().utcoffset().
    clock, end = datetime(year, 1, 1, tzinfo=zone), datetime(year + 1, 1, 1, tzinfo=zone)
    offset = zone.fromutc(clock) - clock
    changes: list[tuple[int, int]] = []
    while clock < end:
        later = min(clock + _LOOK_EVERY, end)
        new = zone.fromutc(later) - later
        if new != offset:
            # Between the last second of the old offset and the first of the new one.
            old, first = 0, (later - clock) // _SECOND
            while first - old > 1:
                middle = (old + first) // 2
                between = clock + timedelta(seconds=middle)
                if zone.fromutc(between) - between == offset:
                    old = middle
                else:
                    first = middle
            changed = clock.replace(tzinfo=UTC) + timedelta(seconds=first)
            changes.append(((changed - _EPOCH) // _SECOND, new // _SECOND))
        clock, offset = later, new
    return tuple(changes)


def _offset(at: int, zone: ZoneInfo) -> int:
    """The zone's offset from UTC (s) at an instant (epoch s)."""
    offset = (_EPOCH + timedelta(seconds=at)).astimezone(zone).utcoffset()
    return (offset or timedelta()) // _SECOND


def _year(at: int) -> int:
    return (_EPOCH + timedelta(seconds=at)).year


def _at_least(first: int, last: int, interval: Interval) -> int:
    return -((first - last) // _LENGTH[interval]) - _FEWER[interval]


def _too_many(first: int, last: int, interval: Interval, zone: ZoneInfo, at_least: int) -> str:
    intervals = list(_LENGTH)
    fitting = next(
        (
            coarser
            for coarser in intervals[intervals.index(interval) + 1 :]
            if _at_least(first, last, coarser) <= MAX_BUCKETS
            and len(_begins(first, last, coarser, zone)) <= MAX_BUCKETS
        ),
        None,
    )
    return (
        f"the range has at least {at_least:,} buckets by {interval}, more than the "
        f"{MAX_BUCKETS:,} of an answer; ask "
        + (f"by {fitting}, or " if fitting else "")
        + f"for at most {_LONGEST_RANGE[interval]} at a time"
    )


# The files of the tzdata package, not the machine's own: the same question has the same answer
# wherever it is asked, also where the machine has none. Read at the first question.
@lru_cache(maxsize=1)
def _zone_names() -> dict[str, str]:
    """All names by themselves in lower case."""
    names = resources.files("tzdata").joinpath("zones").read_text("ascii").split()
    return {name.lower(): name for name in names}


@lru_cache(maxsize=1_024)
def _zone(name: str) -> ZoneInfo:
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def _unknown_zone(text: str) -> str:
    names = _zone_names()
    close = get_close_matches(text.lower(), names, n=3)
    # "Berlin" is close to nothing by letters, and yet says which is meant.
    last = f"/{text.lower().rpartition('/')[2].replace(' ', '_')}"
    ending = [name for name in names if name.endswith(last)]
    suggested = list(dict.fromkeys(names[name] for name in (*ending, *close)))[:3]
    advice = (
        f"did you mean {' or '.join(suggested)}?"
        if suggested
        else "use a name from the IANA list, such as Europe/Berlin or UTC"
    )
    return f"{shown(text)!r} is no known time zone; {advice}"
