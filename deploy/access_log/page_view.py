"""Maps a log line to the page_view event that the edge takes.

| event | from the line |
|---|---|
| `path` | the request target up to the first `?`, as logged |
| `occurred_at` | the time, in UTC |
| `event_id` | see event_ids.py |
| `visitor_id` | see visitors.py; the address itself goes nowhere |
| `user_id` | the authenticated user; not of a 401, where the name is only a claim |
| `metadata` | method, status, bytes, referrer, user_agent, query, protocol: those that are there; \
and the whole request line as `request` where it is not method, target and protocol |
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import orjson

from deploy.access_log.combined import LogLine, NotALogLine, parse
from deploy.access_log.event_ids import EventIds
from deploy.access_log.visitors import VisitorIds
from schemas.limits import MAX_METADATA_BYTES, MAX_PATH_CHARACTERS

# A byte of a line becomes at most six of JSON (`\u0000`); a shorter line cannot be too much.
_SURELY_SHORT_BYTES = MAX_METADATA_BYTES // 6 - 256
_Metadata = dict[str, str | int]
_ABSENT = ("-", "")
_TIME = re.compile(r"[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2} [+-][0-9]{4}")
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}


class Unacceptable(Exception):
    """The line is a page view that the edge would reject; it is not sent, and not trimmed."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Instant:
    """A logged time in UTC: RFC 3339, and its day alone."""

    occurred_at: str
    day: str


# Lines of one second stand together; the bound only has to cover what is written out of order.
@lru_cache(maxsize=4096)
def instant(logged: str) -> Instant:
    """Read `17/May/2015:10:05:03 +0000`. Raises NotALogLine where no such time exists."""
    if _TIME.fullmatch(logged) is None:
        raise NotALogLine
    try:
        local = datetime(  # noqa: DTZ001 - the zone is taken off by hand below
            int(logged[7:11]),
            _MONTHS[logged[3:6]],
            int(logged[0:2]),
            int(logged[12:14]),
            int(logged[15:17]),
            int(logged[18:20]),
        )
        hours, minutes = int(logged[22:24]), int(logged[24:26])
        if hours > 23 or minutes > 59:
            raise NotALogLine
        zone = timedelta(hours=hours, minutes=minutes)
        text = (local + zone if logged[21] == "-" else local - zone).isoformat()
    except (KeyError, ValueError, OverflowError) as error:
        raise NotALogLine from error
    # To the millisecond, as Weir keeps it: a time in this form takes the edge's fast lane.
    return Instant(occurred_at=text + ".000Z", day=text[:10])


class PageViews:
    """Maps the lines of one run; not safe to use from two threads."""

    def __init__(self, event_ids: EventIds, visitors: VisitorIds, source: str | None) -> None:
        self._next_id = event_ids.next_for
        self._visitor = visitors.of
        self._source = source

    def event(self, line: bytes) -> bytes:
        """The event of one line (without line ending) as compact JSON.

        Raises NotALogLine, NoRequest (combined.py) and Unacceptable.
        """
        found = parse(line)
        when = instant(found.time)
        path, _, query = found.target.partition("?")
        # Before anything is refused: what the edge accepts must not change a line's ordinal.
        event_id = self._next_id(line)
        if not 0 < len(path) <= MAX_PATH_CHARACTERS:
            raise Unacceptable(
                "path", f"has {len(path):,} characters, must have 1 to {MAX_PATH_CHARACTERS:,}"
            )
        metadata = _metadata(found, query)
        if len(line) > _SURELY_SHORT_BYTES:
            length = len(orjson.dumps(metadata))
            if length > MAX_METADATA_BYTES:
                raise Unacceptable(
                    "metadata", f"has {length:,} bytes, may have {MAX_METADATA_BYTES:,}"
                )
        event: dict[str, str | _Metadata] = {
            "event_type": "page_view",
            "event_id": event_id,
            "occurred_at": when.occurred_at,
            "path": path,
            "visitor_id": self._visitor(when.day, found.address, found.agent or ""),
            "metadata": metadata,
        }
        if found.user not in ("-", '""') and found.status != "401":
            event["user_id"] = found.user
        if self._source is not None:
            event["source"] = self._source
        return orjson.dumps(event)


def _metadata(found: LogLine, query: str) -> _Metadata:
    metadata: _Metadata = {"method": found.method}
    if found.status != "-":
        metadata["status"] = int(found.status)
    if found.size != "-":
        metadata["bytes"] = int(found.size)
    if found.referrer is not None and found.referrer not in _ABSENT:
        metadata["referrer"] = found.referrer
    if found.agent is not None and found.agent not in _ABSENT:
        metadata["user_agent"] = found.agent
    if query:
        metadata["query"] = query
    if found.protocol is not None:
        metadata["protocol"] = found.protocol
    if found.request is not None:
        metadata["request"] = found.request
    return metadata
