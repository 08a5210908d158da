"""Every question in docs/analysts.md is answered rightly, on Weir's own tables."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import clickhouse_connect
import pytest
import pytest_asyncio
from clickhouse_connect.driver.client import Client

from tests.analysts_rows import COPY, DAY, NEXT, TABLES, event
from tests.services import Services
from tests.weir import Weir, throwaway_weir

pytestmark = pytest.mark.services

DOCUMENT: Final = Path(__file__).parents[1] / "docs" / "analysts.md"


def questions() -> Mapping[str, str]:
    """The document's queries by the heading that they stand under."""
    found: dict[str, str] = {}
    heading, lines, inside = "", list[str](), False
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("### "):
            heading = line.removeprefix("### ")
        elif line == "```sql run":
            lines, inside = [], True
        elif line == "```" and inside:
            assert heading not in found, heading
            found[heading], inside = "\n".join(lines), False
        elif inside:
            lines.append(line)
    return found


QUESTIONS: Final = questions()


OLD: Final = DAY - timedelta(days=20)


def day(moment: datetime) -> date:
    return moment.date()


ANSWERS: Final[Mapping[str, Sequence[tuple[Any, ...]]]] = {
    "Events by day": [
        (day(OLD), "page_view", 2),
        (day(DAY), "page_view", 3),
        (day(DAY), "conversion", 1),
        (day(NEXT), "conversion", 1),
        (day(NEXT), "page_view", 1),
        (day(NEXT), "video.play", 1),
    ],
    "The same from the rollup": [
        (day(OLD), "page_view", 2, 0),
        (day(DAY), "page_view", 3, 2),
        (day(DAY), "conversion", 1, 1),
        (day(NEXT), "conversion", 1, 1),
        (day(NEXT), "page_view", 1, 1),
        (day(NEXT), "video.play", 1, 0),
    ],
    "Most visited paths": [("/pricing", 3, 3), ("/old", 2, 0), ("/signup", 1, 1)],
    "How much of it are bots": [
        ("Crawler", 1, 1, 1.0),
        ("(none)", 0, 6, 0.0),
        ("Firefox", 0, 1, 0.0),
    ],
    "Conversion rate by referrer": [("", 2, 1, 0.5), ("search.example", 2, 1, 0.5)],
    "A funnel": [(0, 1), (1, 1), (3, 1)],
    "What metadata says": [("solo", 1, 1), ("team", 1, 5)],
    "Views of a visit": [(1, 2), (2, 1)],
    "What came late": [
        ("conversions", 2, 0, 0.0),
        ("custom-events", 1, 1, 7200.0),
        ("page-views", 5, 0, 0.0),
    ],
    "Copies that counted twice": [(COPY, 2, OLD, DAY - timedelta(days=10))],
    "Credits used by plan": [(day(DAY), "free", 97, 3)],
    "Who comes near the limit": [("ann", "free", 85, 100, 0.85)],
    "What was refused": [("quota_exceeded", "spend", "free", 1)],
    "How posts went": [("done", "(none)", 2, 4.0), ("failed", "content_refused", 1, 1.0)],
    "What a platform is asked for": [("x", "en", 2, 3), ("instagram", "en", 1, 4)],
    "What Stripe was told": [(day(DAY.replace(day=1)), "conversions", "sent", 2, 12)],
    "Customers by plan": [("pro", "active", 2), ("free", "canceled", 1)],
    "Open dead letters": [
        ("page-views", "not_json", 2, DAY),
        ("conversions", "invalid_value", 1, DAY),
    ],
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def filled(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Weir]:
    """Tables with all those rows, and the rollups that follow from them."""
    async with throwaway_weir(services, tmp_path_factory.mktemp("analysts")) as weir:
        with client_of(weir) as client:
            for table, rows in TABLES.items():
                for number, row in enumerate(rows):
                    whole = {**row, offset_of(table): number}
                    client.insert(table, [[*whole.values()]], column_names=[*whole])
        yield weir


def offset_of(table: str) -> str:
    """The column that says where a row's message lay."""
    named = {
        "events": "",
        "quota_decisions": "decision_",
        "generation_results": "result_",
        "generation_jobs": "job_",
        "usage_reports": "report_",
        "stripe_customers": "change_",
        "dead_letters": "letter_",
        "dead_letter_actions": "action_",
    }
    return f"{named[table]}offset"


def client_of(weir: Weir) -> Client:
    settings = weir.clickhouse
    return clickhouse_connect.get_client(
        **settings.clickhouse_arguments(), database=settings.database, tz_mode="aware"
    )


@pytest.mark.parametrize("title", ANSWERS)
async def test_a_question_is_answered_rightly(filled: Weir, title: str) -> None:
    with client_of(filled) as client:
        rows = client.query(QUESTIONS[title]).result_rows
    assert [tuple(row) for row in rows] == list(ANSWERS[title])


async def test_how_fresh_each_topic_is(filled: Weir) -> None:
    with client_of(filled) as client:
        arrived = datetime.now(UTC) - timedelta(seconds=30)
        late = event("signup", "/", arrived, topic="custom-events", offset=900)
        client.insert("events", [[*late.values()]], column_names=[*late])
        rows = client.query(QUESTIONS["How fresh it is"]).result_rows
    [fresh] = [row for row in rows if row[0] == "custom-events"]
    assert 29 <= fresh[2] <= 300


async def test_what_posts_cost_is_their_sum(filled: Weir) -> None:
    with client_of(filled) as client:
        rows = client.query(QUESTIONS["What a day of posts costs"]).result_rows
    [(on, posts, cost, unpriced)] = rows
    assert (on, posts, float(cost)) == (day(DAY), 3, 2.0)
    assert unpriced == 2


def test_every_question_is_asked_and_there_are_enough() -> None:
    elsewhere = {"How fresh it is", "What a day of posts costs"}
    assert QUESTIONS.keys() == ANSWERS.keys() | elsewhere
    assert len(QUESTIONS) >= 12
