"""Answers of the questions as a slow and obvious count over all events gives them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from schemas.decoding import canonical_time
from tests.weir import Json

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Sent:
    """An event as it was sent, and what its metadata is known to say ('' for nothing)."""

    event_id: str
    event_type: str
    path: str
    user_id: str
    visitor_id: str
    source: str
    occurred: datetime
    metadata: Mapping[str, Json]
    bot: bool
    says: Mapping[str, str]

    def document(self) -> dict[str, Json]:
        """The event for the API, without what it has none of."""
        optional = {"user_id": self.user_id, "visitor_id": self.visitor_id, "source": self.source}
        return {
            "event_id": self.event_id,
            "event_type": self.event_type,
            "path": self.path,
            "occurred_at": canonical_time(self.occurred),
            "metadata": dict(self.metadata),
            **{name: value for name, value in optional.items() if value},
        }

    def value(self, name: str) -> str:
        """The value of a dimension, or of what else can be filtered by."""
        own = {
            "event_type": self.event_type,
            "path": self.path,
            "user_id": self.user_id,
            "source": self.source,
        }
        return own[name] if name in own else self.says[name]


def chosen(
    events: Iterable[Sent],
    start: datetime | None,
    end: datetime | None,
    filters: Mapping[str, str],
) -> list[Sent]:
    """The events of [start, end) that the parameters of a question let through."""
    equal = {name: value for name, value in filters.items() if name != "bots"}
    bots = {"exclude": {False}, "include": {False, True}, "only": {True}}[
        filters.get("bots", "exclude")
    ]
    return [
        event
        for event in events
        if (start is None or event.occurred >= start)
        and (end is None or event.occurred < end)
        and event.bot in bots
        and all(event.value(name) == value for name, value in equal.items())
    ]


def visitors(events: Iterable[Sent]) -> int:
    """How many visitors: by visitor_id, else by user_id; events with neither count as none."""
    names = {event.visitor_id or event.user_id for event in events}
    return len(names - {""})


def by_value(events: Iterable[Sent], dimension: str) -> list[tuple[str, int, int]]:
    """Value, count and visitors; most first, equal counts by the bytes of the value."""
    of_value: dict[str, list[Sent]] = {}
    for event in events:
        of_value.setdefault(event.value(dimension), []).append(event)
    rows = [(value, len(each), visitors(each)) for value, each in of_value.items()]
    return sorted(rows, key=lambda row: (-row[1], row[0].encode()))


def totals(
    events: Sequence[Sent], start: datetime, end: datetime, filters: Mapping[str, str]
) -> Json:
    """The answer of totals, but for what it says of the range."""
    before = max(EPOCH, start - (end - start))
    value = _measures(events, start, end, filters)
    previous = _measures(events, before, start, filters)
    return {
        name: {
            "value": value[name],
            "previous": previous[name],
            "change": _change(value[name], previous[name]),
        }
        for name in value
    }


def _measures(
    events: Sequence[Sent], start: datetime, end: datetime, filters: Mapping[str, str]
) -> dict[str, float | None]:
    counted = chosen(events, start, end, filters)
    of_any_type = {name: value for name, value in filters.items() if name != "event_type"}
    everything = chosen(events, start, end, of_any_type)
    views = [event for event in everything if event.event_type == "page_view"]
    conversions = [event for event in everything if event.event_type == "conversion"]
    viewers = visitors(views)
    return {
        "count": len(counted),
        "visitors": visitors(counted),
        "page_views": len(views),
        "conversions": len(conversions),
        "conversion_rate": round(visitors(conversions) / viewers, 6) if viewers else None,
    }


def _change(value: float | None, previous: float | None) -> float | None:
    if value is None or previous is None or previous == 0:
        return None
    return round((value - previous) / previous, 6)


def timeseries(
    events: Sequence[Sent],
    start: datetime,
    end: datetime,
    filters: Mapping[str, str],
    *,
    interval: str,
    zone: ZoneInfo,
    group_by: str | None,
    groups: int,
) -> list[Json]:
    """The items of a time series, those with nothing in them too."""
    kept = chosen(events, start, end, filters)
    values = [row[0] for row in by_value(kept, group_by)][:groups] if group_by else [""]
    in_bucket: dict[tuple[object, str], list[Sent]] = {}
    key = _KEYS[interval]
    for event in kept:
        value = event.value(group_by) if group_by else ""
        in_bucket.setdefault((key(event.occurred.astimezone(zone)), value), []).append(event)
    items = []
    for begin in bucket_begins(start, end, interval, zone):
        local = begin.astimezone(zone)
        for value in values:
            found = in_bucket.get((key(local), value), [])
            items.append(
                {
                    "start": local.isoformat().replace("+00:00", "Z")
                    if zone.key == "UTC"
                    else local.isoformat(),
                    **({"value": value} if group_by else {}),
                    "count": len(found),
                    "visitors": visitors(found),
                }
            )
    return items


def bucket_begins(start: datetime, end: datetime, interval: str, zone: ZoneInfo) -> list[datetime]:
    """When (UTC) the buckets of [start, end) begin, of which the first may begin before it.

    Holds for zones that have no date twice, and whose offsets in the range are whole quarters.
    """
    if start >= end:
        return []
    if interval in {"minute", "hour"}:
        return _walked(
            start, end, _KEYS[interval], MINUTE if interval == "minute" else QUARTER, zone
        )
    key = _KEYS[interval]
    # The last instant of a range, as finely as it can be asked for.
    last = (end - timedelta(microseconds=1)).astimezone(zone).date()
    day = _first_day(start.astimezone(zone), interval)
    begins = []
    while day <= last:
        # A midnight that the clock skips is read by the offset before: the instant of the change.
        begin = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
        if key(begin.astimezone(zone)) == key(datetime(day.year, day.month, day.day)):
            begins.append(begin)
        day = _next_day(day, interval)
    return begins


def _walked(
    start: datetime,
    end: datetime,
    key: Callable[[datetime], object],
    step: timedelta,
    zone: ZoneInfo,
) -> list[datetime]:
    at = EPOCH + (start - EPOCH) // step * step
    first = key(at.astimezone(zone))
    while key((at - step).astimezone(zone)) == first:
        at -= step
    begins: list[datetime] = []
    last: object = None
    while at < end:
        shown = key(at.astimezone(zone))
        if shown != last:
            begins.append(at)
        at, last = at + step, shown
    return begins


def _first_day(local: datetime, interval: str) -> date:
    day = local.date()
    if interval == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if interval == "month" else day


def _next_day(day: date, interval: str) -> date:
    if interval == "month":
        return (day + timedelta(days=31)).replace(day=1)
    return day + timedelta(days=7 if interval == "week" else 1)


_KEYS: Mapping[str, Callable[[datetime], object]] = {
    "minute": lambda local: (
        local.replace(second=0, microsecond=0, tzinfo=None),
        local.utcoffset(),
    ),
    "hour": lambda local: (
        local.replace(minute=0, second=0, microsecond=0, tzinfo=None),
        local.utcoffset(),
    ),
    "day": lambda local: local.date(),
    "week": lambda local: local.date() - timedelta(days=local.weekday()),
    "month": lambda local: (local.year, local.month),
}
"""What all instants of a bucket have in common, by their wall clock."""
