"""Gathers the events of a log into batches that one request may carry, and counts the rest."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from deploy.access_log.combined import NoRequest, NotALogLine
from deploy.access_log.lines import lines
from deploy.access_log.page_view import PageViews, Unacceptable
from deploy.access_log.source import BrokenGzip, LogSource
from schemas.limits import MAX_EVENTS_PER_REQUEST, MAX_REQUEST_BYTES

# What is left of the edge's limit covers brackets, and proxies that count headers too.
MAX_BATCH_BYTES = MAX_REQUEST_BYTES * 6 // 7
SHOWN_LINES = 5


@dataclass(frozen=True, slots=True)
class Batch:
    """Events as JSON, the line of each in the log (from 1), and how far the log was read then."""

    events: tuple[bytes, ...]
    line_numbers: tuple[int, ...]
    bytes_read: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event that was not accepted, here or by the edge."""

    line_number: int
    field: str
    detail: str


@dataclass(slots=True)
class Tally:
    """A count, and the first few of what was counted."""

    count: int = 0
    first: list[tuple[int, bytes]] = field(default_factory=list)

    def add(self, line_number: int, line: bytes) -> None:
        self.count += 1
        if len(self.first) < SHOWN_LINES:
            self.first.append((line_number, line[:1024]))


@dataclass(slots=True)
class RefusalTally:
    """Refused events, and the first few of them."""

    count: int = 0
    first: list[Refusal] = field(default_factory=list)

    def add(self, refusal: Refusal) -> None:
        self.count += 1
        if len(self.first) < SHOWN_LINES:
            self.first.append(refusal)


@dataclass(slots=True)
class Reading:
    """What reading a log found so far. Written by the reader alone; others may look at it."""

    lines: int = 0
    page_views: int = 0
    not_log_lines: Tally = field(default_factory=Tally)
    without_request: Tally = field(default_factory=Tally)
    unacceptable: RefusalTally = field(default_factory=RefusalTally)


class Batches:
    """Reads one log to its end."""

    def __init__(self, source: LogSource, page_views: PageViews) -> None:
        self.reading = Reading()
        self._source = source
        self._page_views = page_views

    def __iter__(self) -> Iterator[Batch]:
        """The events in order.

        Raises what LogSource.chunks() raises, after the events of all complete lines before it.
        """
        events: list[bytes] = []
        line_numbers: list[int] = []
        size = 0
        failure: BrokenGzip | OSError | None = None
        try:
            for line_number, event in self._events():
                if len(events) == MAX_EVENTS_PER_REQUEST or size + len(event) + 1 > MAX_BATCH_BYTES:
                    yield Batch(tuple(events), tuple(line_numbers), self._source.bytes_read)
                    events.clear()
                    line_numbers.clear()
                    size = 0
                events.append(event)
                line_numbers.append(line_number)
                size += len(event) + 1
        except (BrokenGzip, OSError) as error:
            failure = error
        if events:
            yield Batch(tuple(events), tuple(line_numbers), self._source.bytes_read)
        if failure is not None:
            raise failure

    def _events(self) -> Iterator[tuple[int, bytes]]:
        reading = self.reading
        to_event = self._page_views.event
        for found in lines(self._source.chunks()):
            for line in found:
                reading.lines += 1
                try:
                    event = to_event(line)
                except NotALogLine:
                    reading.not_log_lines.add(reading.lines, line)
                except NoRequest:
                    reading.without_request.add(reading.lines, line)
                except Unacceptable as error:
                    reading.unacceptable.add(Refusal(reading.lines, error.field, error.detail))
                else:
                    reading.page_views += 1
                    yield reading.lines, event
