"""Pages of dead letters in a state: found in bounded steps, however much was ever done."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from api.clickhouse import ClickHouseReader, Row
from api.cursors import Cursor
from api.dead_letters.filters import MATCHING, NEWEST_FIRST, SKEW, Filters, StateFilter, parameters

# The key's columns, by which a list is ordered.
_KEY: Final = """
SELECT
    toString(dead_letter_id), toUnixTimestamp64Milli(received_at),
    letter_topic, letter_partition, letter_incarnation, letter_offset
FROM dead_letters
"""
_COUNT: Final = "SELECT count() FROM dead_letters"

# What was done about the letters that are looked at, and nothing else: by their ids, and since
# the oldest of them.
_SKEW_MS: Final = SKEW // timedelta(milliseconds=1)
_ACTIONS: Final = f"""
    SELECT dead_letter_id FROM dead_letter_actions
    WHERE received_at >= fromUnixTimestamp64Milli({{actions_from:Int64}})
      AND dead_letter_id IN (SELECT dead_letter_id FROM dead_letters {MATCHING})
"""  # noqa: S608 # of constants alone
_IN_STATE: Final[Mapping[StateFilter, str]] = {
    "all": "",
    "open": f"AND dead_letter_id NOT IN ({_ACTIONS})",
    # Of two actions at the same moment the replay is what has an effect.
    "replayed": f"AND dead_letter_id IN ({_ACTIONS} AND action = 'replayed')",
    "discarded": f"""AND dead_letter_id IN (
    {_ACTIONS} GROUP BY dead_letter_id HAVING countIf(action = 'replayed') = 0
  )""",
}

STEPS: Final = (2_000, 16_000, 128_000, 512_000)
"""So many letters that match are looked at, one step after the other, for those in a state."""


@dataclass(frozen=True, slots=True)
class Found:
    """A letter by its id, and its key in the table."""

    dead_letter_id: UUID
    key: Cursor


async def find_page(
    clickhouse: ClickHouseReader,
    filters: Filters,
    state: StateFilter,
    behind: Cursor,
    limit: int,
    steps: tuple[int, ...] = STEPS,
) -> tuple[list[Found], Cursor | None]:
    """Up to `limit` letters, newest first, and where to go on; None when there are no others.

    Fewer, even none, where those in this state are rare among all that match: then the cursor
    is behind the last letter that was looked at.
    """
    found: list[Found] = []
    for step in (None,) if state == "all" else steps:
        end = None if step is None else await _end_of(clickhouse, filters, behind, step)
        rows = await clickhouse.ask(
            _KEY + MATCHING + _IN_STATE[state] + NEWEST_FIRST,
            {**_bound(filters, behind, end), "limit": limit + 1 - len(found), "skipped": 0},
        )
        found += map(_found, rows)
        if len(found) > limit:
            return found[:limit], found[limit - 1].key
        if end is None:
            return found, None
        behind = end
    return found, behind


async def count_open(
    clickhouse: ClickHouseReader, filters: Filters, behind: Cursor, most: int = STEPS[-1]
) -> int:
    """How many of the next `most` letters that match are open."""
    end = await _end_of(clickhouse, filters, behind, most)
    [[count]] = await clickhouse.ask(
        _COUNT + MATCHING + _IN_STATE["open"], _bound(filters, behind, end)
    )
    return int(str(count))


async def _end_of(
    clickhouse: ClickHouseReader, filters: Filters, behind: Cursor, step: int
) -> Cursor | None:
    """The key of the step's last letter, None when no other matches behind it."""
    rows = await clickhouse.ask(
        _KEY + MATCHING + NEWEST_FIRST,
        {**parameters(filters, behind), "limit": 2, "skipped": step - 1},
    )
    return _found(rows[0]).key if len(rows) > 1 else None


def _bound(filters: Filters, behind: Cursor, end: Cursor | None) -> dict[str, object]:
    bound = parameters(filters, behind, end)
    oldest = int(str(bound["letters_from"])) if end is None else end.ms
    return {**bound, "actions_from": max(0, oldest - _SKEW_MS)}


def _found(row: Row) -> Found:
    identity, ms, topic, partition, incarnation, offset = map(str, row)
    return Found(
        UUID(identity), Cursor(int(ms), topic, int(partition), int(incarnation), int(offset))
    )
