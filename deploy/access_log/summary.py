"""The last words of a replay: what was accepted, and what was not and why."""

from collections.abc import Iterator

from deploy.access_log.batches import Reading, RefusalTally, Tally
from deploy.access_log.replay import Confirmed
from deploy.access_log.shown import shown


def summary(reading: Reading, confirmed: Confirmed, seconds: float) -> Iterator[str]:
    """Lines for the user, the total first; `seconds` is how long the replay took."""
    rate = confirmed.answered / seconds if seconds > 0 else 0.0
    yield (
        f"{reading.lines:,} lines read, {confirmed.accepted:,} page views accepted "
        f"in {seconds:.1f} s ({rate:,.0f}/s); those that Weir had already count once"
    )
    yield from _lines(
        "not log lines (Apache common or combined, nginx combined)", reading.not_log_lines
    )
    yield from _lines("without an HTTP request, so no page views", reading.without_request)
    yield from _refusals("rejected by Weir", confirmed.rejected)
    yield from _refusals("not sent, Weir would reject them", reading.unacceptable)


def _lines(what: str, tally: Tally) -> Iterator[str]:
    if tally.count:
        yield f"{tally.count:,} {what}"
        for line_number, line in tally.first:
            yield f"  line {line_number:,}: {shown(line)}"
        yield from _others(tally.count - len(tally.first))


def _refusals(what: str, tally: RefusalTally) -> Iterator[str]:
    if tally.count:
        yield f"{tally.count:,} {what}"
        for one in tally.first:
            yield f"  line {one.line_number:,}: {shown(one.field)}: {shown(one.detail)}"
        yield from _others(tally.count - len(tally.first))


def _others(count: int) -> Iterator[str]:
    if count > 0:
        yield f"  and {count:,} more"
