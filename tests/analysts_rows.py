"""Rows of every table that analysts read: a little of everything that happens to Weir."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

# At noon, so that no hour more or less is another day.
NOON: Final = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
DAY: Final = NOON - timedelta(days=2)
NEXT: Final = NOON - timedelta(days=1)
MINUTE: Final = timedelta(minutes=1)

# A row of any table, by its columns.
Row = Mapping[str, Any]


def event(kind: str, path: str, at: datetime, **more: object) -> Row:
    """An event as the sink stores it; it arrived when it occurred unless said otherwise."""
    return {
        "event_id": uuid4(),
        "event_type": kind,
        "path": path,
        "occurred_at": at,
        "received_at": at,
        "topic": {"page_view": "page-views", "conversion": "conversions"}.get(
            kind, "custom-events"
        ),
        **more,
    }


COPY: Final = UUID("019ab0c2-7f00-7a2b-8c00-1f2e3d4c5b6a")
EVENTS: Final[Sequence[Row]] = (
    # Ann comes by a search, looks at two pages and buys; Ben looks at one.
    event("page_view", "/pricing", DAY, user_id="ann", visitor_id="v1", referrer="search.example"),
    event("page_view", "/signup", DAY + MINUTE, user_id="ann", visitor_id="v1"),
    event(
        "conversion",
        "/bought",
        DAY + 2 * MINUTE,
        user_id="ann",
        visitor_id="v1",
        metadata='{"plan":"team","value":5}',
    ),
    event("page_view", "/pricing", DAY, user_id="ben", visitor_id="v2", referrer="search.example"),
    # The next day: somebody whom no day before knows, a bot, and a conversion of nobody on a page.
    event("page_view", "/pricing", NEXT, visitor_id="v3", browser="Firefox"),
    event("page_view", "/pricing", NEXT, browser="Crawler", bot=True),
    event("conversion", "/bought", NEXT, user_id="cem", metadata='{"plan":"solo"}'),
    # Two hours late; and one that came again after the window of copies.
    event("video.play", "/tour", NEXT, received_at=NEXT + timedelta(hours=2)),
    event("page_view", "/old", DAY - timedelta(days=20), event_id=COPY),
    event(
        "page_view",
        "/old",
        DAY - timedelta(days=20),
        event_id=COPY,
        received_at=DAY - timedelta(days=10),
    ),
)


def decision(user: str, kind: str, change: int, used: int, number: int, **more: object) -> Row:
    return {
        "decision_id": uuid4(),
        "command_id": uuid4(),
        "user_id": user,
        "kind": kind,
        "applied": True,
        "count": abs(change),
        "change": change,
        "number": number,
        "plan": "free",
        "limit": 100,
        "quota_used": used,
        "remaining": 100 - used,
        "period_start": DAY - timedelta(days=5),
        "resets_at": DAY + timedelta(days=25),
        "period_number": 1,
        "decided_at": DAY,
        "received_at": DAY,
        **more,
    }


DECISIONS: Final[Sequence[Row]] = (
    decision("ann", "spend", 90, 90, 1),
    decision("ann", "refund", -5, 85, 2),
    decision("ben", "spend", 10, 10, 1),
    # Beside two credits of the plan, three of a top-up.
    decision(
        "cem",
        "spend",
        2,
        2,
        1,
        **{
            "top_up_changes.top_up_id": [uuid4()],
            "top_up_changes.change": [-3],
            "top_up_changes.ends_at": [None],
        },
    ),
    decision("ann", "spend", 0, 85, 0, applied=False, problem="quota_exceeded", count=50),
)


def post(state: str, reason: str, seconds: int, cost: int | None, **more: object) -> Row:
    return {
        "generation_id": uuid4(),
        "post_id": uuid4(),
        "user_id": "ann",
        "state": state,
        "reason": reason,
        "usage.model": ["gpt"],
        "usage.calls": [1],
        "usage.input_tokens": [10],
        "usage.output_tokens": [20],
        "usage.images": [1],
        "usage.cost_micros": [cost],
        "requested_at": DAY,
        "finished_at": DAY + timedelta(seconds=seconds),
        "received_at": DAY,
        **more,
    }


TWICE: Final = {"generation_id": uuid4(), "post_id": uuid4()}
RESULTS: Final[Sequence[Row]] = (
    post("done", "", 4, 1_500_000),
    post("done", "", 4, None, **TWICE),
    post("done", "", 4, None, **TWICE, received_at=NEXT),
    post("failed", "content_refused", 1, 500_000),
)
JOBS: Final[Sequence[Row]] = tuple(
    {
        "generation_id": uuid4(),
        "post_id": uuid4(),
        "user_id": "ann",
        "prompt": "Our new espresso blend is here",
        "platform": platform,
        "language": "en",
        "variants": variants,
        "requested_at": DAY,
        "received_at": DAY,
    }
    for platform, variants in (("x", 1), ("x", 2), ("instagram", 4))
)


def report(number: int, state: str, value: int, report_id: UUID, within: UUID | None = None) -> Row:
    return {
        "change_id": uuid4(),
        "number": number,
        "report_id": report_id,
        "event_id": uuid4(),
        "within": within,
        "meter": "conversions",
        "value": value,
        "occurred_at": DAY,
        "user_id": "ann",
        "customer_id": "cus_1",
        "state": state,
        "at": DAY,
        "received_at": DAY,
    }


FIRST, WINDOW, PART = uuid4(), uuid4(), uuid4()
REPORTS: Final[Sequence[Row]] = (
    report(0, "pending", 5, FIRST),
    report(4, "sent", 5, FIRST),
    report(4, "sent", 7, WINDOW),
    report(1, "collected", 7, PART, WINDOW),
)
CUSTOMERS: Final[Sequence[Row]] = tuple(
    {
        "change_id": uuid4(),
        "user_id": user,
        "customer_id": f"cus_{user}",
        "plan": plan,
        "status": status,
        "at": at,
        "received_at": at,
    }
    for user, plan, status, at in (
        ("ann", "free", "", DAY),
        ("ann", "pro", "active", NEXT),
        ("ben", "pro", "active", DAY),
        ("cem", "free", "canceled", DAY),
    )
)
LETTERS: Final[Sequence[Row]] = tuple(
    {
        "dead_letter_id": uuid4(),
        "topic": topic,
        "reason": reason,
        "arrived_at": DAY,
        "received_at": DAY,
    }
    for topic, reason in (
        ("page-views", "not_json"),
        ("page-views", "not_json"),
        ("page-views", "wrong_key"),
        ("conversions", "invalid_value"),
    )
)
ACTIONS: Final[Sequence[Row]] = (
    {
        "action_id": uuid4(),
        "dead_letter_id": LETTERS[2]["dead_letter_id"],
        "action": "replayed",
        "acted_at": NEXT,
        "received_at": NEXT,
    },
)
TABLES: Final[Mapping[str, Sequence[Row]]] = {
    "events": EVENTS,
    "quota_decisions": DECISIONS,
    "generation_results": RESULTS,
    "generation_jobs": JOBS,
    "usage_reports": REPORTS,
    "stripe_customers": CUSTOMERS,
    "dead_letters": LETTERS,
    "dead_letter_actions": ACTIONS,
}
