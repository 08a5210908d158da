"""What `weir forget` shows: what was there and is there, and what goes by itself, and when."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from deploy.billing.totals_shown import print_table
from deploy.forgetting.subject import Subject
from schemas.topics import DAY_MS, QUOTA_ACCOUNTS, TOPICS, USAGE_LEDGER, Topic

SEGMENT_MS: Final = 7 * DAY_MS
"""Kafka deletes whole segments, and closes one after a week at the latest (`log.roll.hours`)."""

NO_PERSON: Final = frozenset({"api-keys", "api-key-uses", "dead-letter-actions", "heartbeats"})
"""Topics on which nobody is named whom `weir forget` could be asked to forget."""

_DASHBOARD: Final = "https://dashboard.stripe.com/customers/"


def print_places(before: Mapping[str, int], after: Mapping[str, int] | None) -> None:
    """A row for each place; `after` None: nothing was erased."""
    titles = ("place", "found") if after is None else ("place", "before", "after")
    print_table(titles, [_cells(name, before, after) for name in before])


def json_lines(before: Mapping[str, int], after: Mapping[str, int] | None) -> Iterator[str]:
    for name, count in before.items():
        line: dict[str, str | int] = {"place": name, "before": count}
        yield json.dumps(line if after is None else line | {"after": after[name]})


def _cells(
    name: str, before: Mapping[str, int], after: Mapping[str, int] | None
) -> tuple[str, ...]:
    cells = (_place(name), f"{before[name]:,}")
    return cells if after is None else (*cells, f"{after[name]:,}")


def _place(name: str) -> str:
    if name in {QUOTA_ACCOUNTS.name, USAGE_LEDGER.name}:
        return f"topic {name}"
    return name if " " in name else f"table {name}"


def ageing(now: datetime) -> list[str]:
    """Sentences: which topics still hold what was written before, and until when at the latest."""
    found = []
    kept: dict[int, list[str]] = {}
    for topic in TOPICS:
        if topic.retention_ms > 0 and topic.name not in NO_PERSON:
            kept.setdefault(topic.retention_ms, []).append(topic.name)
    for retention, names in sorted(kept.items()):
        end = now + timedelta(milliseconds=retention + SEGMENT_MS)
        found.append(f"{', '.join(sorted(names))}: until {end:%Y-%m-%d}")
    found += [
        f"{topic.name}: what lies behind the deletions, until {_compacted(topic, now):%Y-%m-%d}"
        for topic in (QUOTA_ACCOUNTS, USAGE_LEDGER)
    ]
    return found


def _compacted(topic: Topic, now: datetime) -> datetime:
    # A segment is compacted at the latest so long after its first message; a day more for the
    # cleaner's turn.
    longest = int(topic.settings["max.compaction.lag.ms"])
    return now + timedelta(milliseconds=longest + DAY_MS)


def at_stripe(subject: Subject) -> Sequence[str]:
    """What to do at Stripe, which is told nothing."""
    alone = [
        f"Stripe knows the user as {customer}: delete the customer there ({_DASHBOARD}{customer}), "
        "else its next event names the user again. The deletion is such an event too: run this "
        "once more when it has come."
        for customer in subject.customers
    ]
    shared = [
        f"{customer}, which others' use is billed to, stays. Where its metadata.user_id, or that "
        f"of its subscriptions, is the user, put another's there ({_DASHBOARD}{customer}), else "
        "its next event names the user again."
        for customer in subject.linked
    ]
    return [*alone, *shared]
