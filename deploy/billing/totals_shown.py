"""What `weir stripe` shows: tables and lines on a terminal, JSON for programs."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from deploy.access_log.shown import shown
from deploy.billing.findings import Finding
from deploy.billing.pending import Waiting
from deploy.billing.reconciliation import Row

NUMBERS: Final = frozenset(
    {"events", "ledger", "Stripe", "units", "reports", "found", "before", "after"}
)
"""Titles of columns of numbers."""

LISTED: Final = 20
"""Differences that are listed one by one; JSON has all."""

# Members of lines of JSON; times are text.
Member = str | int | bool | None | list[dict[str, str | int | bool | None]]


def reconciled_lines(rows: Sequence[Row], *, every: bool) -> Iterator[str]:
    """JSON: a line for each row that differs, or each, then one for each meter's total."""
    for row in rows:
        if every or row.differs:
            yield json.dumps(_row(row) | {"findings": [_finding(each) for each in row.findings]})
    for total in totals(rows):
        yield json.dumps(_row(total) | {"customer_id": None})


def totals(rows: Iterable[Row]) -> Iterator[Row]:
    """The sums of all customers, a row for each meter; its `customer_id` says of how many."""
    counts = Counter(row.meter for row in rows)
    for meter, count in sorted(counts.items()):
        of_meter = [row for row in rows if row.meter == meter]
        yield Row(
            f"all {count:,}",
            meter,
            sum(row.events for row in of_meter),
            sum(row.ledger for row in of_meter),
            sum(row.stripe for row in of_meter),
            [finding for row in of_meter for finding in row.findings],
        )


def print_reconciled(rows: Sequence[Row], *, every: bool) -> None:
    """A table of the rows that differ, or of all, with the totals, and the first differences."""
    lines = [
        (
            row.customer_id,
            row.meter,
            f"{row.events:,}",
            f"{row.ledger:,}",
            f"{row.stripe:,}",
            _in_words(row),
        )
        for row in [*(row for row in rows if every or row.differs), *totals(rows)]
    ]
    print_table(("customer", "meter", "events", "ledger", "Stripe", "differences"), lines)


def finding_lines(rows: Sequence[Row]) -> Iterator[str]:
    """A line for each of the first differences, and how many more there are."""
    pairs = [(row, finding) for row in rows for finding in row.findings]
    for row, each in pairs[:LISTED]:
        subject = "" if each.event_id is None else f" event {each.event_id}"
        what = "can be fixed" if each.commands else each.problem
        if each.second_run:
            what = "can be fixed in two runs"
        yield (
            f"{row.customer_id} {row.meter} {_written(each.at)} {each.kind}:{subject} "
            f"{each.says} (should be {each.expected:,}, is {each.found:,}): {what}"
        )
    if len(pairs) > LISTED:
        yield f"… and {len(pairs) - LISTED:,} more; --json has all"


def pending_lines(waiting: Sequence[Waiting]) -> Iterator[str]:
    """JSON: a line for each."""
    for each in waiting:
        yield json.dumps(
            {
                "user_id": each.user_id,
                "meter": each.meter,
                "units": each.units,
                "reports": each.reports,
                "oldest": _written(each.oldest),
            }
        )


def print_pending(waiting: Sequence[Waiting]) -> None:
    lines = [
        (
            shown(each.user_id),
            each.meter,
            f"{each.units:,}",
            f"{each.reports:,}",
            _written(each.oldest),
        )
        for each in waiting
    ]
    print_table(("user", "meter", "units", "reports", "oldest"), lines)


def print_table(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in titles:
        number = title in NUMBERS
        table.add_column(
            title, justify="right" if number else "left", no_wrap=title != "differences"
        )
    for line in lines:
        # As text: brackets in a name are no markup.
        table.add_row(*(Text(cell) for cell in line))
    console = Console(highlight=False)
    if not console.is_terminal:
        # In a file or pipe lines are not folded.
        console = Console(highlight=False, width=400)
    console.print(table)


def _in_words(row: Row) -> str:
    kinds = Counter(each.kind for each in row.findings)
    if not kinds and row.differs:
        return "changed while it was read"
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items())) or "-"


def _row(row: Row) -> dict[str, Member]:
    return {
        "customer_id": row.customer_id,
        "meter": row.meter,
        "events": row.events,
        "ledger": row.ledger,
        "stripe": row.stripe,
        "differs": row.differs,
    }


def _finding(finding: Finding) -> dict[str, str | int | bool | None]:
    return {
        "kind": finding.kind,
        "at": _written(finding.at),
        "event_id": None if finding.event_id is None else str(finding.event_id),
        "report_id": None if finding.report_id is None else str(finding.report_id),
        "expected": finding.expected,
        "found": finding.found,
        "says": finding.says,
        "fixable": bool(finding.commands),
        "second_run": finding.second_run,
        "problem": finding.problem,
    }


def _written(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
