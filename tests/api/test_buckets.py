"""Buckets of time are those of the zone's wall clock, whatever the zone does to it."""

import re
import struct
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib import resources
from itertools import pairwise
from time import perf_counter
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from api.analytics.buckets import (
    MAX_BUCKETS,
    Interval,
    TooManyBuckets,
    _at_least,
    bucket_starts,
    local_text,
    zone_named,
)

ZONES = sorted(resources.files("tzdata").joinpath("zones").read_text().split())
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(2106, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
INTERVALS: list[Interval] = ["minute", "hour", "day", "week", "month"]
COARSE: list[Interval] = ["day", "week", "month"]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def key(moment: datetime, interval: Interval, zone: ZoneInfo) -> object:
    """What an instant's bucket is called: the statement, word for word."""
    local = moment.astimezone(zone)
    match interval:
        case "minute":
            return (*local.timetuple()[:5], local.utcoffset())
        case "hour":
            return (*local.timetuple()[:4], local.utcoffset())
        case "day":
            return local.date()
        case "week":
            return local.isocalendar()[:2]
        case "month":
            return (local.year, local.month)


def walked(
    start: datetime, end: datetime, interval: Interval, zone: ZoneInfo, step: timedelta
) -> list[datetime]:
    """The slow and obvious way: look at every step of a grid that has all boundaries on it."""
    at = EPOCH + (start - EPOCH) // step * step
    while key(at - MILLISECOND, interval, zone) == key(at, interval, zone):
        at -= step
    starts = [at]
    last = key(at, interval, zone)
    while (at := at + step) < end:
        if (now := key(at, interval, zone)) != last:
            starts.append(at)
            last = now
    return starts


def assert_buckets(
    starts: list[datetime], start: datetime, end: datetime, interval: Interval, zone: ZoneInfo
) -> None:
    """One key inside each bucket, another on each side of each boundary, and the ends hold."""
    assert starts[0] <= start
    assert starts[-1] < end
    for at in starts:
        assert key(at - MILLISECOND, interval, zone) != key(at, interval, zone), at
    ends = [*starts[1:], end]
    for begin, until in zip(starts, ends, strict=True):
        assert begin < until
        inside = key(begin, interval, zone)
        for part in range(25):
            at = begin + (until - begin) / 25 * part
            assert key(at, interval, zone) == inside, (begin, at)
        assert key(until - MILLISECOND, interval, zone) == inside


@lru_cache(maxsize=700)
def changes(name: str) -> tuple[datetime, ...]:
    """When a zone's offset changes until 2037, by its file (RFC 9636), not by looking."""
    data = resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()
    # The first block has 32-bit times; the second repeats it with 64 bits.
    isut, isstd, leap, times, types, chars = struct.unpack(">6L", data[20:44])
    at = 44 + times * 5 + types * 6 + chars + leap * 8 + isstd + isut
    _, _, _, times, types, _ = struct.unpack(">6L", data[at + 20 : at + 44])
    at += 44
    whens = struct.unpack(f">{times}q", data[at : at + 8 * times])
    kinds = data[at + 8 * times : at + 9 * times]
    at += 9 * times
    offsets = [struct.unpack(">l", data[at + 6 * n : at + 6 * n + 4])[0] for n in range(types)]
    found = []
    offset = offsets[0]
    for when, kind in zip(whens, kinds, strict=True):
        if offsets[kind] != offset and when >= -60 * 86_400:
            found.append(EPOCH + timedelta(seconds=when))
        offset = offsets[kind]
    return tuple(found)


@st.composite
def zones_and_starts(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone and a moment, often close to where its offset changes."""
    name = draw(st.sampled_from(ZONES))
    near = changes(name)
    close = draw(st.booleans())
    if near and close:
        around = draw(st.integers(-3 * 86_400_000, 86_400_000))
        change: datetime = draw(st.sampled_from(near))
        start = change + timedelta(milliseconds=around)
    else:
        start = EPOCH + timedelta(
            milliseconds=draw(st.integers(0, (END - EPOCH) // MILLISECOND - 1))
        )
    return name, min(max(start, EPOCH), END - timedelta(days=1))


@settings(max_examples=200)
@given(zones_and_starts(), st.sampled_from(INTERVALS[:3]), st.integers(1, 3 * 3_600_000), st.data())
def test_short_ranges_are_as_a_walk_by_fifteen_seconds_finds_them(
    where: tuple[str, datetime], interval: Interval, length: int, data: st.DataObject
) -> None:
    name, start = where
    end = start + length * MILLISECOND
    assert bucket_starts(start, end, interval, zone_named(name)) == walked(
        start,
        end,
        interval,
        zone_named(name),
        timedelta(seconds=15 if interval == "minute" else 30),
    )


@settings(max_examples=150)
@given(zones_and_starts(), st.sampled_from(INTERVALS[1:4]), st.integers(1, 8 * 86_400_000))
def test_days_and_weeks_are_as_a_walk_by_minutes_finds_them(
    where: tuple[str, datetime], interval: Interval, length: int
) -> None:
    name, start = where
    # Its boundaries lay on half minutes until then; the test above has them.
    assume(name != "Africa/Monrovia" or start.year > 1972)
    end = start + length * MILLISECOND
    zone = zone_named(name)
    assert bucket_starts(start, end, interval, zone) == walked(
        start, end, interval, zone, timedelta(minutes=1)
    )


@settings(max_examples=100)
@given(zones_and_starts(), st.sampled_from(INTERVALS), st.integers(1, 400), st.floats(0, 1))
def test_long_ranges_have_one_key_in_each_bucket_and_another_across_each_boundary(
    where: tuple[str, datetime], interval: Interval, buckets: int, more: float
) -> None:
    name, start = where
    longest = {"minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800, "month": 2_678_400}
    milliseconds = int(longest[interval] * 1_000 * (buckets + more))
    end = min(start + timedelta(milliseconds=milliseconds), END)
    zone = zone_named(name)
    assert_buckets(bucket_starts(start, end, interval, zone), start, end, interval, zone)


@pytest.mark.parametrize("interval", COARSE)
def test_every_zone_is_right_around_every_change_of_a_decade(interval: Interval) -> None:
    for name in ZONES:
        zone = zone_named(name)
        for change in changes(name):
            if not 2007 <= change.year < 2013:
                continue
            start, end = change - timedelta(days=1), change + timedelta(days=1)
            starts = bucket_starts(start, end, interval, zone)
            for at in starts:
                assert key(at - MILLISECOND, interval, zone) != key(at, interval, zone), (name, at)
            for begin, until in zip(starts, [*starts[1:], end], strict=True):
                inside = key(begin, interval, zone)
                for at in (change - MILLISECOND, change, until - MILLISECOND):
                    if begin <= at < until:
                        assert key(at, interval, zone) == inside, (name, at)


def test_no_zone_changes_its_offset_twice_between_two_looks() -> None:
    """What buckets.py relies on; a new tzdata that breaks it must be known."""
    assert len(ZONES) > 500
    gaps = [(later - earlier, name) for name in ZONES for earlier, later in pairwise(changes(name))]
    assert min(gaps)[0] > timedelta(days=6), min(gaps)


def starts_of(start: str, end: str, interval: Interval, zone: str) -> list[str]:
    named = zone_named(zone)
    return [local_text(at, named) for at in bucket_starts(utc(start), utc(end), interval, named)]


def hours_of(start: str, end: str, interval: Interval, zone: str) -> list[float]:
    starts = bucket_starts(utc(start), utc(end), interval, zone_named(zone))
    return [(later - earlier) / timedelta(hours=1) for earlier, later in pairwise(starts)]


@pytest.mark.parametrize(
    ("zone", "start", "hours"),
    [
        ("Europe/Berlin", "2026-03-28T00:00", [24, 23, 24]),
        ("Europe/Berlin", "2026-10-24T00:00", [24, 25, 24]),
        ("Australia/Lord_Howe", "2026-04-03T18:00", [24, 24.5, 24]),
        ("Australia/Lord_Howe", "2026-10-02T18:00", [24, 23.5, 24]),
        ("UTC", "2026-03-28T00:00", [24, 24, 24]),
    ],
)
def test_days_are_as_long_as_the_clock_makes_them(
    zone: str, start: str, hours: list[float]
) -> None:
    end = (utc(start) + timedelta(days=3, hours=2)).replace(tzinfo=None).isoformat()
    assert hours_of(start, end, "day", zone)[:3] == hours


def test_the_repeated_hour_of_an_autumn_night_is_two_buckets() -> None:
    assert starts_of("2026-10-25T00:00", "2026-10-25T02:00", "hour", "Europe/Berlin") == [
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",
    ]


def test_the_hour_that_a_spring_night_skips_is_no_bucket() -> None:
    assert starts_of("2026-03-29T00:30", "2026-03-29T01:30", "hour", "Europe/Berlin") == [
        "2026-03-29T01:00:00+01:00",
        "2026-03-29T03:00:00+02:00",
    ]


def test_a_shift_of_half_an_hour_cuts_an_hour() -> None:
    assert starts_of("2026-04-04T14:00", "2026-04-04T16:30", "hour", "Australia/Lord_Howe") == [
        "2026-04-05T01:00:00+11:00",
        "2026-04-05T01:30:00+10:30",
        "2026-04-05T02:00:00+10:30",
    ]


@pytest.mark.parametrize(
    ("zone", "moment", "first"),
    [
        ("America/Sao_Paulo", "2018-11-04T12:00", "2018-11-04T01:00:00-02:00"),
        ("Asia/Beirut", "2022-03-27T12:00", "2022-03-27T01:00:00+03:00"),
        ("Africa/Cairo", "2024-04-26T12:00", "2024-04-26T01:00:00+03:00"),
    ],
)
def test_a_day_without_midnight_begins_at_the_first_instant_of_its_date(
    zone: str, moment: str, first: str
) -> None:
    end = (utc(moment) + MILLISECOND).replace(tzinfo=None).isoformat()
    assert starts_of(moment, end, "day", zone) == [first]


def test_a_date_that_never_happened_is_no_bucket() -> None:
    assert starts_of("2011-12-29T10:00", "2012-01-01T10:00", "day", "Pacific/Apia") == [
        "2011-12-29T00:00:00-10:00",
        "2011-12-31T00:00:00+14:00",
        "2012-01-01T00:00:00+14:00",
    ]


def test_a_date_that_comes_back_after_midnight_is_cut_in_two() -> None:
    """At 00:01 the clock of St. John's went back to 23:01 of the day before."""
    assert starts_of("2010-11-06T12:00", "2010-11-07T12:00", "day", "America/St_Johns") == [
        "2010-11-06T00:00:00-02:30",
        "2010-11-07T00:00:00-02:30",
        "2010-11-06T23:01:00-03:30",
        "2010-11-07T00:00:00-03:30",
    ]


def test_offsets_with_odd_minutes_and_seconds_move_the_buckets() -> None:
    kathmandu = bucket_starts(
        utc("2026-01-01T00:00"), utc("2026-01-01T00:30"), "hour", zone_named("Asia/Kathmandu")
    )
    assert kathmandu == [utc("2025-12-31T23:15"), utc("2026-01-01T00:15")]
    monrovia = zone_named("Africa/Monrovia")
    assert bucket_starts(utc("1970-01-01T00:00"), utc("1970-01-01T00:01"), "minute", monrovia) == [
        utc("1969-12-31T23:59:30"),
        utc("1970-01-01T00:00:30"),
    ]
    assert bucket_starts(utc("1971-06-01T12:00"), utc("1971-06-01T13:00"), "day", monrovia) == [
        utc("1971-06-01T00:44:30")
    ]


def test_weeks_begin_on_monday() -> None:
    assert starts_of("2026-11-24T09:00", "2026-11-30T00:00", "week", "UTC") == [
        "2026-11-23T00:00:00Z"
    ]
    assert starts_of("1970-01-01T00:00", "1970-01-06T00:00", "week", "UTC") == [
        "1969-12-29T00:00:00Z",
        "1970-01-05T00:00:00Z",
    ]


def test_a_bucket_that_begins_at_the_end_of_the_range_is_not_in_it() -> None:
    assert starts_of("2026-01-01T00:00", "2026-03-01T00:00", "month", "UTC") == [
        "2026-01-01T00:00:00Z",
        "2026-02-01T00:00:00Z",
    ]
    end = utc("2026-03-01T00:00") + MILLISECOND
    assert len(bucket_starts(utc("2026-01-01T00:00"), end, "month", zone_named("UTC"))) == 3


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Los_Angeles"])
@pytest.mark.parametrize("interval", INTERVALS)
def test_the_first_and_the_last_moments_have_buckets(zone: str, interval: Interval) -> None:
    named = zone_named(zone)
    for start, end in ((EPOCH, EPOCH + MILLISECOND), (END - MILLISECOND, END)):
        assert_buckets(bucket_starts(start, end, interval, named), start, end, interval, named)
    months = bucket_starts(EPOCH, END, "month", named)
    # Kiritimati was behind UTC and will be ahead of it.
    assert len(months) == 136 * 12 + {"UTC": 0, "Pacific/Kiritimati": 2}.get(zone, 1)


@pytest.mark.parametrize("interval", INTERVALS[:4])
def test_too_many_buckets_say_how_many_and_what_to_ask_instead(interval: Interval) -> None:
    zone = zone_named("Europe/Berlin")
    with pytest.raises(TooManyBuckets, match=r"has at least [0-9,]+ buckets by .*the 2,000 of"):
        bucket_starts(EPOCH, END, interval, zone)
    start = utc("2020-01-01T00:00")
    with pytest.raises(TooManyBuckets, match="by month, or for at most 33 hours") as caught:
        bucket_starts(start, utc("2070-01-01T00:00"), "minute", zone)
    assert "26,298,720" in str(caught.value)


@pytest.mark.parametrize(
    ("interval", "length"),
    [
        ("minute", timedelta(hours=33)),
        ("hour", timedelta(days=82)),
        ("day", timedelta(days=5 * 366)),
        ("week", timedelta(days=38 * 366)),
    ],
)
@pytest.mark.parametrize("zone", ["Africa/Casablanca", "Asia/Gaza", "America/St_Johns"])
def test_the_length_that_is_offered_instead_is_answered(
    interval: Interval, length: timedelta, zone: str
) -> None:
    for year in range(1970, 2106 - 38):
        start = datetime(year, 3, 5, 1, 2, 3, tzinfo=UTC)
        assert len(bucket_starts(start, start + length, interval, zone_named(zone))) <= MAX_BUCKETS


def refusal(start: datetime, end: datetime, interval: Interval, zone: ZoneInfo) -> str:
    """What is said against a range; '' when it is answered."""
    try:
        bucket_starts(start, end, interval, zone)
    except TooManyBuckets as refused:
        return str(refused)
    return ""


LENGTHS: dict[Interval, int] = {"minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}


@pytest.mark.parametrize("interval", INTERVALS[:4])
def test_the_limit_itself_is_answered_and_one_more_is_not(interval: Interval) -> None:
    zone = zone_named("UTC")
    start = datetime(1979, 1, 1, tzinfo=UTC)
    end = start + timedelta(seconds=LENGTHS[interval] * MAX_BUCKETS)
    assert len(bucket_starts(start, end, interval, zone)) == MAX_BUCKETS
    assert f"at least {MAX_BUCKETS + 1:,} buckets" in refusal(
        start, end + MILLISECOND, interval, zone
    )


@settings(max_examples=100)
@given(zones_and_starts(), st.sampled_from(INTERVALS[:4]), st.floats(0.9, 300))
def test_the_interval_that_is_offered_is_the_finest_that_fits(
    where: tuple[str, datetime], interval: Interval, times: float
) -> None:
    name, start = where
    zone = zone_named(name)
    seconds = int(LENGTHS[interval] * MAX_BUCKETS * times)
    end = start + min(timedelta(seconds=seconds), END - start)
    said = refusal(start, end, interval, zone)
    if said:
        coarser = INTERVALS[INTERVALS.index(interval) + 1 :]
        fitting = [each for each in coarser if not refusal(start, end, each, zone)]
        assert f"ask by {fitting[0]}, or" in said
        assert int(said.split("at least ")[1].split(" ")[0].replace(",", "")) > MAX_BUCKETS


@settings(max_examples=100)
@given(zones_and_starts(), st.sampled_from(COARSE), st.integers(1, 900))
def test_no_more_buckets_are_claimed_than_there_are(
    where: tuple[str, datetime], interval: Interval, buckets: int
) -> None:
    name, start = where
    end = min(start + timedelta(days=buckets), END)
    seconds = (start - EPOCH) // timedelta(seconds=1), -((EPOCH - end) // timedelta(seconds=1))
    assert _at_least(*seconds, interval) <= len(
        bucket_starts(start, end, interval, zone_named(name))
    )


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (EPOCH, EPOCH),
        (END, EPOCH),
        (EPOCH.replace(tzinfo=None), END),
    ],
)
def test_what_is_no_range_is_refused(start: datetime, end: datetime) -> None:
    with pytest.raises(ValueError, match="two moments with a zone"):
        bucket_starts(start, end, "day", zone_named("UTC"))


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "EST"])
def test_a_zone_is_known_by_its_name(name: str) -> None:
    assert zone_named(name).key == name
    assert zone_named(name) is zone_named(name)


def test_every_zone_of_the_list_can_be_read() -> None:
    for name in ZONES:
        assert zone_named(name).utcoffset(datetime(2026, 1, 1)) is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Europe/Berln", "did you mean Europe/Berlin"),
        ("europe/berlin", "did you mean Europe/Berlin"),
        ("Berlin", "did you mean Europe/Berlin"),
        ("new york", "did you mean America/New_York"),
        ("utc", "UTC"),
        ("+02:00", "such as Europe/Berlin or UTC"),
        ("", "must not be empty"),
        ("x" * 65, "longer than 64"),
        ("../../etc/passwd", "no known time zone"),
        ("Europe/../Europe/Berlin", "no known time zone"),
        ("/usr/share/zoneinfo/Europe/Berlin", "no known time zone"),
        ("Europe/Berlin\0", "no known time zone"),
        ("Europe", "no known time zone"),
        ("localtime", "no known time zone"),
        ("Europe/", "no known time zone"),
        ("\ud800", "no known time zone"),
    ],
)
def test_what_is_no_zone_is_refused_with_advice(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        zone_named(text)
    assert str(caught.value).isprintable()


@given(st.text(max_size=80))
def test_any_text_is_a_zone_or_is_refused_with_a_sentence(text: str) -> None:
    said = "known"
    try:
        zone_named(text)
    except ValueError as refused:
        said = str(refused)
    assert said.isprintable()


@pytest.mark.parametrize(
    ("moment", "zone", "text"),
    [
        ("2026-03-28T23:00", "Europe/Berlin", "2026-03-29T00:00:00+01:00"),
        ("2026-03-29T22:00", "Europe/Berlin", "2026-03-30T00:00:00+02:00"),
        ("2026-01-01T00:00:59.999", "UTC", "2026-01-01T00:00:59Z"),
        ("2026-01-01T00:00", "Etc/UTC", "2026-01-01T00:00:00Z"),
        ("2026-01-01T00:00", "Europe/London", "2026-01-01T00:00:00+00:00"),
        ("2026-01-01T00:15", "Asia/Kathmandu", "2026-01-01T06:00:00+05:45"),
        ("1971-06-01T00:44:30", "Africa/Monrovia", "1971-06-01T00:00:30-00:44"),
    ],
)
def test_a_moment_is_written_in_local_time(moment: str, zone: str, text: str) -> None:
    assert local_text(utc(moment), zone_named(zone)) == text


@given(zones_and_starts())
def test_what_is_written_is_the_same_instant(where: tuple[str, datetime]) -> None:
    name, moment = where
    text = local_text(moment, zone_named(name))
    assert datetime.fromisoformat(text) == moment.replace(microsecond=0)
    assert len(text) in {20, 25}


@pytest.mark.parametrize("interval", INTERVALS)
def test_two_thousand_buckets_are_quick(interval: Interval) -> None:
    """Printed, not judged: a machine at work is slower than any bound worth having."""
    zone = zone_named("Europe/Berlin")
    length = {"minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800, "month": 2_500_000}
    start = utc("1971-02-03T04:05:06")
    end = start + timedelta(seconds=length[interval] * 1_700)
    times = []
    for _ in range(6):
        began = perf_counter()
        count = len(bucket_starts(start, end, interval, zone))
        times.append((perf_counter() - began) * 1_000)
    print(f"{count} by {interval}: first {times[0]:.2f} ms, then {min(times[1:]):.2f} ms")
