"""A job and a result of a social post become rows, once each, and what they cost adds up."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import orjson
import pytest
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from schemas.generation import (
    GenerationJob,
    GenerationResult,
    ModelUse,
    Picture,
    PostVariant,
    generation_id,
    refused_result,
)
from schemas.posts import MAX_PROMPT_CHARACTERS
from schemas.quotas import LATEST_MOMENT
from streams.sink.records import Made, Source
from streams.sink.rows import encode_rows
from streams.sink.social_rows import JOB_COLUMNS, RESULT_COLUMNS, job_rows, result_rows
from tests.streams.sink.test_rows import Message
from tests.weir import Weir, all_taken

DOCUMENT: Final = Path(__file__).parents[3] / "docs" / "events.md"
POST: Final = UUID(int=1)
ASKED: Final = datetime(2026, 11, 24, 9, 30, 0, 123_456, tzinfo=UTC)
PICTURE: Final = "a" * 64 + ".png"
JOB: Final = GenerationJob(
    post_id=POST,
    user_id="u-1",
    prompt="Our new\nespresso",
    platform="x",
    tone="witty",
    language="pt-BR",
    variants=2,
    requested_at=ASKED,
)
RESULT: Final = GenerationResult(
    post_id=POST,
    user_id="u-1",
    state="done",
    reason="content_refused",
    detail="one of two was refused",
    variants=[
        PostVariant(
            number=2,
            caption="Hot ☕",
            picture=Picture(key=PICTURE, width=1536, height=1024),
        )
    ],
    credits_charged=2,
    credits_refunded=1,
    usage=[
        ModelUse(model="text", calls=2, input_tokens=50, output_tokens=70, cost_micros=1_234),
        ModelUse(model="new", calls=1, input_tokens=5, output_tokens=9, images=1, cost_micros=None),
    ],
    requested_at=ASKED,
    finished_at=ASKED + timedelta(seconds=9),
)


def written(message: GenerationJob | GenerationResult, **changes: object) -> tuple[bytes, bytes]:
    """Key and value as they lie on Kafka."""
    fields = message.model_dump(mode="json") | changes
    return str(fields["user_id"]).encode(), orjson.dumps(fields)


def jobs(*messages: tuple[bytes | None, bytes | None]) -> Made:
    source = Source(TopicPartition("generation-jobs", 3), 7)
    return job_rows(source, [Message(key=key, value=value) for key, value in messages])


def results(*messages: tuple[bytes | None, bytes | None]) -> Made:
    source = Source(TopicPartition("generation-results", 3), 7)
    return result_rows(source, [Message(key=key, value=value) for key, value in messages])


def test_a_job_becomes_a_row_column_by_column() -> None:
    made = jobs(written(JOB))
    assert made.ids == [generation_id("u-1", POST).bytes]
    assert dict(zip(JOB_COLUMNS, made.rows[0], strict=True)) == {
        "generation_id": str(generation_id("u-1", POST)),
        "post_id": str(POST),
        "user_id": "u-1",
        "prompt": "Our new\nespresso",
        "platform": "x",
        "tone": "witty",
        "language": "pt-BR",
        "variants": 2,
        "requested_at": "2026-11-24T09:30:00.123456Z",
        "received_at": 1_795_000_000.123,
        "job_topic": "generation-jobs",
        "job_partition": 3,
        "job_incarnation": 7,
        "job_offset": 42,
    }


def test_a_result_becomes_a_row_column_by_column() -> None:
    made = results(written(RESULT))
    assert made.ids == [generation_id("u-1", POST).bytes]
    assert dict(zip(RESULT_COLUMNS, made.rows[0], strict=True)) == {
        "generation_id": str(generation_id("u-1", POST)),
        "post_id": str(POST),
        "user_id": "u-1",
        "state": "done",
        "reason": "content_refused",
        "detail": "one of two was refused",
        "variants.number": [2],
        "variants.caption": ["Hot ☕"],
        "variants.picture_key": [PICTURE],
        "variants.width": [1536],
        "variants.height": [1024],
        "credits_charged": 2,
        "credits_refunded": 1,
        "stub": False,
        "usage.model": ["text", "new"],
        "usage.calls": [2, 1],
        "usage.input_tokens": [50, 5],
        "usage.output_tokens": [70, 9],
        "usage.images": [0, 1],
        "usage.cost_micros": [1_234, None],
        "requested_at": "2026-11-24T09:30:00.123456Z",
        "finished_at": "2026-11-24T09:30:09.123456Z",
        "received_at": 1_795_000_000.123,
        "result_topic": "generation-results",
        "result_partition": 3,
        "result_incarnation": 7,
        "result_offset": 42,
    }


def test_a_job_that_only_asks_again_is_neither_a_row_nor_a_dead_letter() -> None:
    made = jobs(written(JOB, repeated=True), written(JOB))
    assert len(made.rows) == len(made.ids) == 1
    assert made.invalid == []


@pytest.mark.parametrize("key", [None, b"u-2", b"\xff"])
def test_another_users_key_is_refused(key: bytes | None) -> None:
    for made in (
        jobs((key, written(JOB)[1])),
        jobs((key, written(JOB, repeated=True)[1])),
        results((key, written(RESULT)[1])),
    ):
        assert [failure.reason for _, failure in made.invalid] == ["wrong_key"]
        assert made.rows == []


@pytest.mark.parametrize("value", [None, b"", b"{}", b"[]", b"\xff", b'{"user_id":"\\ud800"}'])
def test_garbage_is_a_dead_letter(value: bytes | None) -> None:
    assert len(jobs((b"u-1", value)).invalid) == 1
    assert len(results((b"u-1", value)).invalid) == 1


@pytest.mark.parametrize(
    "use",
    [
        {"calls": 1 << 32},
        {"images": 1 << 32},
        {"input_tokens": 1 << 53},
        {"output_tokens": 1 << 80},
        {"cost_micros": 1 << 64},
    ],
    ids=str,
)
def test_a_use_that_clickhouse_could_not_store_is_a_dead_letter(use: dict[str, int]) -> None:
    uses = [{**RESULT.usage[0].model_dump(), **use}]
    # No number of orjson's is as large.
    value = json.dumps({**RESULT.model_dump(mode="json"), "usage": uses}).encode()
    [(_, failure)] = results((b"u-1", value)).invalid
    assert failure.reason == "invalid_field"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(), each, max_size=3),
    max_leaves=5,
)


@given(name=st.sampled_from(sorted(GenerationResult.model_fields)), value=anything)
def test_whatever_stands_in_a_field_there_is_a_row_or_a_reason(name: str, value: object) -> None:
    key, message = written(RESULT)
    try:
        message = orjson.dumps({**orjson.loads(message), name: value})
    except TypeError:
        return  # what JSON cannot say
    made = results((key, message))
    assert len(made.rows) + len(made.invalid) == 1
    encode_rows(made.rows)


def extreme() -> tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]]:
    """Jobs and results at the bounds of what the models take."""
    name = "\N{SNOWMAN}'\"\\\u2028" + "ü" * 251
    most = JOB.model_copy(
        update={
            "user_id": name,
            "prompt": "\t\n'\\\U0001f600" + "ß" * (MAX_PROMPT_CHARACTERS - 5),
            "requested_at": LATEST_MOMENT,
        }
    )
    use = ModelUse(
        model="\x00m'" * 50,
        calls=(1 << 32) - 1,
        images=(1 << 32) - 1,
        input_tokens=(1 << 53) - 1,
        output_tokens=(1 << 53) - 1,
        cost_micros=(1 << 53) - 1,
    )
    picture = Picture(key=PICTURE, width=1 << 16, height=1 << 16)
    result = RESULT.model_copy(
        update={
            "user_id": name,
            "detail": "\x00'" * 250,
            "variants": [
                PostVariant(number=each, caption="\x00\n" * 5_000, picture=picture)
                for each in range(1, 5)
            ],
            "usage": [use] * 100,
            "requested_at": LATEST_MOMENT,
            "finished_at": LATEST_MOMENT,
        }
    )
    return [written(most)], [written(result)]


def many_results(users: Sequence[str], days: Sequence[date], each: int) -> list[GenerationResult]:
    """For each user and day: results of every kind, with sums that no two of them share."""
    made = []
    seed = 1
    for user in users:
        for day in days:
            for _ in range(each):
                seed += 1
                finished = datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=UTC)
                made.append(
                    RESULT.model_copy(
                        update={
                            "post_id": uuid4(),
                            "user_id": user,
                            "state": "failed" if seed % 4 == 0 else "done",
                            "stub": seed % 5 == 0,
                            "variants": [] if seed % 4 == 0 else RESULT.variants * (seed % 3 + 1),
                            "usage": [
                                ModelUse(
                                    model=f"m-{number}",
                                    calls=seed,
                                    images=seed % 3,
                                    input_tokens=seed * 1_000,
                                    output_tokens=seed * 77,
                                    cost_micros=None if (seed + number) % 3 == 0 else seed * 1_009,
                                )
                                for number in range(seed % 4)
                            ],
                            "finished_at": finished,
                        }
                    )
                )
    return made


def costs_of(results: Sequence[GenerationResult]) -> dict[tuple[str, date], tuple[object, ...]]:
    """What the view must say, added up here."""
    sums: dict[tuple[str, date], list[GenerationResult]] = {}
    for result in results:
        sums.setdefault((result.user_id, result.finished_at.date()), []).append(result)
    found: dict[tuple[str, date], tuple[object, ...]] = {}
    for key, those in sums.items():
        uses = [use for result in those for use in result.usage]
        paid = [use for result in those if not result.stub for use in result.usage]
        found[key] = (
            len(those),
            sum(result.state == "failed" for result in those),
            sum(result.stub for result in those),
            sum(len(result.variants) for result in those),
            sum(use.images for use in uses),
            sum(use.calls for use in uses),
            sum(use.input_tokens for use in uses),
            sum(use.output_tokens for use in uses),
            Decimal(sum(use.cost_micros or 0 for use in paid)) / 1_000_000,
            sum(use.calls for use in paid if use.cost_micros is None),
        )
    return found


@pytest.mark.services
async def test_posts_and_results_are_stored_once_and_their_costs_add_up(weir: Weir) -> None:
    sink = weir.start_sink()
    posts = [JOB.model_copy(update={"post_id": uuid4()}) for _ in range(40)]
    # Each user may use the same id.
    posts += [each.model_copy(update={"user_id": "u-2"}) for each in posts[:5]]
    good = [written(each) for each in posts]
    again = [written(each, repeated=True) for each in posts[:10]]
    extreme_jobs, extreme_results = extreme()
    bad: list[tuple[bytes | None, bytes | None]] = [
        (b"u-9", good[0][1]),
        written(JOB, variants=5),
        (b"u-1", None),
    ]
    await weir.produce("generation-jobs", [*good[:25], *extreme_jobs, *bad, *again, *good])

    yesterday = datetime.now(UTC).date() - timedelta(1)
    usual = many_results(["u-1", "u-2"], [yesterday, yesterday + timedelta(1)], 12)
    refused = refused_result(
        post_id=uuid4(), user_id="u-2", requested_at=ASKED, detail="no credits", decided_at=ASKED
    )
    usual.append(refused)
    lines = [written(each) for each in usual]
    wrong: list[tuple[bytes | None, bytes | None]] = [
        (b"u-9", lines[0][1]),
        written(RESULT, state="queued"),
    ]
    await weir.produce(
        "generation-results", [*lines[:30], *wrong, *extreme_results, *lines, *lines[20:]]
    )
    await weir.eventually(partial(all_taken, weir), process=sink)

    assert weir.query(
        "SELECT user_id, count(), uniqExact(generation_id), any(prompt), any(language),"
        " any(requested_at) FROM generation_jobs WHERE user_id IN ('u-1', 'u-2')"
        " GROUP BY user_id ORDER BY user_id"
    ) == [
        (user, count, count, JOB.prompt, "pt-BR", ASKED.replace(tzinfo=None))
        for user, count in (("u-1", 40), ("u-2", 5))
    ]
    largest = orjson.loads(extreme_jobs[0][1])
    assert weir.query(
        "SELECT user_id, prompt FROM generation_jobs WHERE user_id NOT LIKE 'u-_'"
    ) == [(largest["user_id"], largest["prompt"])]
    [[stored, captions]] = weir.query(
        "SELECT count(), sum(length(variants.caption)) FROM generation_results"
        " WHERE user_id NOT LIKE 'u-_'"
    )
    assert (stored, captions) == (1, 4)
    assert weir.query(
        "SELECT count(), uniqExact(generation_id) FROM generation_results WHERE user_id LIKE 'u-_'"
    ) == [(len(usual), len(usual))]

    costs = weir.query("SELECT * FROM generation_costs_daily WHERE user_id LIKE 'u-_'")
    assert {(row[0], row[1]): row[2:] for row in costs} == costs_of(usual)
    assert any(row[-1] for row in costs)

    for question in re.findall(
        r"^```sql\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL
    ):
        assert weir.query(question)

    reasons = weir.query("SELECT topic, reason, count() FROM dead_letters GROUP BY topic, reason")
    assert sorted((topic.rpartition(".")[2], *rest) for topic, *rest in reasons) == [
        ("generation-jobs", "invalid_field", 2),
        ("generation-jobs", "wrong_key", 1),
        ("generation-results", "invalid_field", 1),
        ("generation-results", "wrong_key", 1),
    ]
