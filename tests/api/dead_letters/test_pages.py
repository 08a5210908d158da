"""Letters in a state are found in steps: all of them once, without all that was ever done."""

from collections.abc import AsyncIterator, Mapping
from uuid import UUID

import pytest
import pytest_asyncio

from api.clickhouse import ClickHouseReader, Row
from api.cursors import FIRST_PAGE, Cursor
from api.dead_letters.filters import Filters, StateFilter
from api.dead_letters.pages import count_open, find_page
from tests.weir import Weir

pytestmark = pytest.mark.services

# A letter each quarter of an hour from 2026-01-01 on, several at the same millisecond.
LETTERS = """
INSERT INTO dead_letters
(dead_letter_id, reason, received_at, letter_topic, letter_incarnation, letter_offset)
SELECT reinterpret(sipHash128(number), 'UUID'), if(number % 10 = 0, 'rare', 'usual'),
    toDateTime64('2026-01-01', 3, 'UTC') + intDiv(number, 3) * 2700, 'letters', 7, number
FROM numbers({from:UInt64}, {count:UInt64})
"""
ACTIONS = """
INSERT INTO dead_letter_actions (action_id, dead_letter_id, action, received_at)
SELECT generateUUIDv4(), reinterpret(sipHash128(number), 'UUID'), {action:String},
    toDateTime64('2026-01-01', 3, 'UTC') + intDiv(number, 3) * 2700 + 60
FROM numbers({from:UInt64}, {count:UInt64})
WHERE number % {every:UInt64} = {rest:UInt64}
"""


class ReaderOfSmallSets(ClickHouseReader):
    """Fails where ClickHouse would have to hold more than two hundred ids."""

    async def ask(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        client = await self._connected()
        settings = {"max_rows_in_set": 200, "set_overflow_mode": "throw"}
        answer = await client.query(sql, parameters=dict(parameters or {}), settings=settings)
        return list(answer.result_rows)


@pytest_asyncio.fixture(loop_scope="session")
async def reader(weir: Weir) -> AsyncIterator[ReaderOfSmallSets]:
    reader = ReaderOfSmallSets(weir.clickhouse, timeout=10)
    yield reader
    await reader.close()


def ids_of(weir: Weir, condition: str) -> list[UUID]:
    sql = f"SELECT dead_letter_id FROM dead_letters WHERE {condition} ORDER BY letter_offset DESC"  # noqa: S608
    return [row[0] for row in weir.query(sql)]


async def all_pages(
    reader: ClickHouseReader, filters: Filters, state: StateFilter, limit: int
) -> tuple[list[UUID], int]:
    """All letters in a state, and how many pages they took; steps are of 4 and 16 letters."""
    found: list[UUID] = []
    pages = 0
    cursor: Cursor | None = FIRST_PAGE
    while cursor is not None:
        page, cursor = await find_page(reader, filters, state, cursor, limit, (4, 16))
        assert len(page) <= limit
        found += [each.dead_letter_id for each in page]
        pages += 1
    return found, pages


async def test_each_letter_is_on_one_page_of_its_state_in_order(
    weir: Weir, reader: ReaderOfSmallSets
) -> None:
    weir.query(LETTERS, **{"from": 0, "count": 120})
    weir.query(ACTIONS, action="discarded", every=4, rest=0, **{"from": 0, "count": 120})
    weir.query(ACTIONS, action="discarded", every=1, rest=0, **{"from": 30, "count": 60})
    weir.query(ACTIONS, action="replayed", every=8, rest=0, **{"from": 0, "count": 120})
    acted = "(letter_offset % 4 = 0 OR letter_offset >= 30 AND letter_offset < 90)"
    conditions: dict[StateFilter, str] = {
        "all": "1",
        "open": f"NOT {acted}",
        "replayed": "letter_offset % 8 = 0",
        "discarded": f"{acted} AND letter_offset % 8 != 0",
    }
    for state, condition in conditions.items():
        expected = ids_of(weir, condition)
        for limit in (1, 3, 7, 120):
            assert (await all_pages(reader, Filters(), state, limit))[0] == expected
        rare = ids_of(weir, f"{condition} AND reason = 'rare'")
        assert (await all_pages(reader, Filters(reason="rare"), state, 2))[0] == rare
    # The 60 in the middle are passed over in pages that hold none of them.
    _, pages = await all_pages(reader, Filters(), "open", 120)
    assert pages == 6
    assert await count_open(reader, Filters(), FIRST_PAGE) == len(ids_of(weir, f"NOT {acted}"))
    assert await count_open(reader, Filters(), FIRST_PAGE, most=31) == 23


@pytest.mark.parametrize("state", ["open", "replayed", "discarded"])
async def test_what_was_done_about_other_letters_is_not_held(
    weir: Weir, reader: ReaderOfSmallSets, state: StateFilter
) -> None:
    weir.query(LETTERS, **{"from": 9_000, "count": 30})
    for action, rest in (("discarded", 1), ("replayed", 2)):
        weir.query(ACTIONS, action=action, every=3, rest=rest, **{"from": 9_000, "count": 30})
    # Of months before, and since then.
    weir.query(ACTIONS, action="discarded", every=1, rest=0, **{"from": 0, "count": 8_000})
    weir.query(
        """INSERT INTO dead_letter_actions (action_id, dead_letter_id, action, received_at)
        SELECT generateUUIDv4(), generateUUIDv4(), 'replayed', now64(3) FROM numbers(10000)"""
    )
    page, _ = await find_page(reader, Filters(), state, FIRST_PAGE, 20)
    assert len(page) == 10
    assert await count_open(reader, Filters(), FIRST_PAGE) == 10
