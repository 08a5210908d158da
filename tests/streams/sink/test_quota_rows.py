"""A decision about an account becomes a row of the ledger, or a reason why not."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

import orjson
import pytest
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from schemas.quotas import LATEST_MOMENT, QuotaDecision, TopUpChange
from streams.failures import Invalid
from streams.sink.quota_rows import DECISION_COLUMNS, decision_rows
from streams.sink.records import Made, Source
from streams.sink.rows import encode_rows
from tests.streams.sink.test_rows import Message
from tests.weir import Weir, all_taken

LARGEST: Final = (1 << 53) - 1
START: Final = datetime(2026, 11, 1, tzinfo=UTC)
DECISION: Final = QuotaDecision(
    decision_id=UUID(int=1),
    command_id=UUID(int=2),
    user_id="u-1",
    kind="spend",
    applied=True,
    reason="post generated",
    count=5,
    change=3,
    top_up_changes=[
        TopUpChange(top_up_id=UUID(int=3), change=-1, ends_at=datetime(2026, 12, 1, tzinfo=UTC)),
        TopUpChange(top_up_id=UUID(int=4), change=-1),
    ],
    number=7,
    plan="pro",
    plans_version=2,
    subscription=True,
    limit=1_010,
    quota_used=815,
    remaining=195,
    period_start=START,
    resets_at=datetime(2026, 12, 1, tzinfo=UTC),
    period_number=11,
    crossed=[80],
    fingerprint="ab12",
    decided_at=datetime(2026, 11, 24, 9, 30, 0, 123_456, tzinfo=UTC),
)


def written(decision: QuotaDecision, **changes: object) -> tuple[bytes, bytes]:
    """Key and value of a decision as it lies on Kafka."""
    fields = decision.model_dump(mode="json") | changes
    return str(fields["user_id"]).encode(), orjson.dumps(fields)


def made_of(key: bytes | None, value: bytes | None) -> Made:
    source = Source(TopicPartition("quota-decisions", 3), 7)
    return decision_rows(source, [Message(key=key, value=value)])


def test_a_decision_becomes_a_row_column_by_column() -> None:
    made = made_of(*written(DECISION))
    assert made.ids == [UUID(int=1).bytes]
    assert dict(zip(DECISION_COLUMNS, made.rows[0], strict=True)) == {
        "decision_id": str(UUID(int=1)),
        "command_id": str(UUID(int=2)),
        "user_id": "u-1",
        "kind": "spend",
        "applied": True,
        "problem": "",
        "reason": "post generated",
        "count": 5,
        "spend_id": None,
        "change": 3,
        "top_up_changes.top_up_id": [str(UUID(int=3)), str(UUID(int=4))],
        "top_up_changes.change": [-1, -1],
        "top_up_changes.ends_at": ["2026-12-01T00:00:00.000000Z", None],
        "number": 7,
        "plan": "pro",
        "plans_version": 2,
        "subscription": True,
        "limit": 1_010,
        "quota_used": 815,
        "remaining": 195,
        "period_start": "2026-11-01T00:00:00.000000Z",
        "resets_at": "2026-12-01T00:00:00.000000Z",
        "period_number": 11,
        "crossed": [80],
        "fingerprint": "ab12",
        "decided_at": "2026-11-24T09:30:00.123456Z",
        "received_at": 1_795_000_000.123,
        "decision_topic": "quota-decisions",
        "decision_partition": 3,
        "decision_incarnation": 7,
        "decision_offset": 42,
    }


@pytest.mark.parametrize(
    ("key", "reason"), [(None, "wrong_key"), (b"u-2", "wrong_key"), (b"\xff", "wrong_key")]
)
def test_a_decision_under_another_users_key_is_refused(key: bytes | None, reason: str) -> None:
    _, value = written(DECISION)
    [(_, failure)] = made_of(key, value).invalid
    assert failure.reason == reason


NUMBERS: Final = (
    *("count", "change", "number", "plans_version"),
    *("limit", "quota_used", "remaining", "period_number"),
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(), each, max_size=3),
    max_leaves=5,
)


@given(name=st.sampled_from(sorted(QuotaDecision.model_fields)), value=anything)
def test_whatever_stands_in_a_field_there_is_a_row_or_a_reason(name: str, value: object) -> None:
    key, message = written(DECISION)
    try:
        message = orjson.dumps({**orjson.loads(message), name: value})
    except TypeError:
        return  # what JSON cannot say
    made = made_of(key, message)
    assert len(made.rows) + len(made.invalid) == 1
    for row in made.rows:
        assert all(
            -(1 << 53) < number < 1 << 53
            for number in map(row.__getitem__, map(DECISION_COLUMNS.index, NUMBERS))
            if isinstance(number, int)
        )
        encode_rows([row])


@pytest.mark.parametrize(
    "value", [None, b"", b"{}", b"[]", b"\xff", b"null", b'{"user_id":"\\ud800"}']
)
def test_garbage_among_decisions_is_a_dead_letter(value: bytes | None) -> None:
    [(_, failure)] = made_of(b"u-1", value).invalid
    assert isinstance(failure, Invalid)


def extreme_decisions() -> list[tuple[bytes, bytes]]:
    """Decisions at the bounds of what the model takes."""
    least: dict[str, Any] = {
        "user_id": "u",
        "reason": " ",
        "spend_id": None,
        "change": -LARGEST,
        "top_up_changes": [],
        "crossed": [],
        "fingerprint": "",
        "period_start": "1970-01-01T00:00:00Z",
        "resets_at": "1970-01-01T00:00:00.000001Z",
        "decided_at": "1970-01-01T00:00:00Z",
        **dict.fromkeys(("count", "number", "plans_version", "limit", "quota_used"), 0),
    }
    most: dict[str, Any] = {
        "user_id": "\N{SNOWMAN}'\"\\\u2028" + "ü" * 251,
        "problem": "refund_too_large",
        "reason": "\x00\t\n\\'\U0001f600" + "ß" * 194,
        "spend_id": str(UUID(int=(1 << 128) - 1)),
        "change": LARGEST,
        "top_up_changes": [
            {"top_up_id": str(UUID(int=each)), "change": LARGEST, "ends_at": LATEST_MOMENT}
            for each in range(300)
        ],
        "plan": "a" * 64,
        "plans_version": (1 << 31) - 1,
        "crossed": [0, 255] * 10,
        "fingerprint": "f" * 64,
        **dict.fromkeys(("period_start", "resets_at", "decided_at"), LATEST_MOMENT),
        **dict.fromkeys(("count", "number", "limit", "quota_used", "remaining"), LARGEST),
        "period_number": LARGEST,
    }
    return [written(DECISION, **changes) for changes in (least, most)]


@pytest.mark.services
async def test_what_the_model_takes_clickhouse_takes_and_copies_count_once(weir: Weir) -> None:
    sink = weir.start_sink()
    usual = [
        DECISION.model_copy(
            update={
                "decision_id": uuid4(),
                "number": number,
                "decided_at": DECISION.decided_at + timedelta(seconds=number),
            }
        )
        for number in range(1, 51)
    ]
    good = [written(each) for each in usual]
    extreme = [
        (key, orjson.dumps({**orjson.loads(value), "decision_id": str(uuid4())}))
        for key, value in extreme_decisions()
    ]
    bad: list[tuple[bytes | None, bytes | None]] = [
        (b"u-1", None),
        (b"u-1", good[0][1][:-1]),
        (b"u-2", good[0][1]),
        written(DECISION, change=1 << 60),
        written(DECISION, decided_at="3000-01-01T00:00:00Z"),
    ]
    await weir.produce("quota-decisions", [*good[:25], *extreme, *bad, *good[:25], *good[25:]])
    await weir.eventually(partial(all_taken, weir), process=sink)

    rows = weir.query(
        "SELECT number, decided_at, period_start, top_up_changes.change, limit FROM quota_decisions"
        " WHERE user_id = 'u-1' ORDER BY number"
    )
    assert [row[0] for row in rows] == list(range(1, 51))
    assert rows[0][1].replace(tzinfo=UTC) == usual[0].decided_at
    assert [list(rows[0][3]), rows[0][4]] == [[-1, -1], 1_010]
    [[count, largest]] = weir.query(
        "SELECT count(), max(arraySum(top_up_changes.change)) FROM quota_decisions"
        " WHERE user_id != 'u-1'"
    )
    assert (count, largest) == (2, 300 * LARGEST)
    reasons = weir.query("SELECT reason FROM dead_letters WHERE topic LIKE '%quota-decisions'")
    assert sorted(each for (each,) in reasons) == ["invalid_field"] * 4 + ["wrong_key"]
