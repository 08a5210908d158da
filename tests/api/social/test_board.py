"""What is known of posts in the making: never back, bounded, and nothing kept of who left."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final, Literal
from uuid import UUID, uuid4

import pytest
from aiokafka import ConsumerRecord
from pydantic import BaseModel

from api.following import Record
from api.social.board import PostBoard, PostState
from schemas.generation import GenerationJob, GenerationProgress, GenerationResult
from schemas.servers import KafkaSettings

NOW: Final = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
ALICE: Final = "alice"


def a_board(most: int = 10) -> PostBoard:
    """Not connected: the messages are handed to it."""
    return PostBoard(KafkaSettings(topic_prefix=""), NOW, most=most)


def a_record(topic: str, value: bytes) -> Record:
    return ConsumerRecord(
        topic=topic,
        partition=0,
        offset=0,
        timestamp=0,
        timestamp_type=0,
        key=ALICE.encode(),
        value=value,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=len(value),
        headers=(),
    )


def says(board: PostBoard, topic: str, what: BaseModel) -> None:
    board.take(a_record(topic, what.model_dump_json().encode()))


def a_job(post_id: UUID) -> GenerationJob:
    return GenerationJob(
        post_id=post_id, user_id=ALICE, requested_at=NOW, prompt="New espresso", variants=2
    )


def a_step(post_id: UUID, caption: str) -> GenerationProgress:
    return GenerationProgress(post_id=post_id, user_id=ALICE, variant=1, caption=caption, at=NOW)


def a_result(post_id: UUID, state: Literal["done", "failed"] = "failed") -> GenerationResult:
    return GenerationResult(
        post_id=post_id,
        user_id=ALICE,
        state=state,
        reason="content_refused",
        detail="it was refused",
        variants=[],
        credits_charged=2,
        credits_refunded=2,
        stub=True,
        usage=[],
        requested_at=NOW,
        finished_at=NOW,
    )


def state(board: PostBoard, post_id: UUID) -> PostState:
    found = board.state_of(ALICE, post_id)
    assert found is not None
    return found


def test_a_post_goes_from_its_job_to_its_result() -> None:
    board, post_id = a_board(), uuid4()
    assert board.state_of(ALICE, post_id) is None
    says(board, "generation-jobs", a_job(post_id))
    assert state(board, post_id).state == "queued"
    says(board, "generation-progress", a_step(post_id, "Fresh!"))
    assert state(board, post_id).state == "generating"
    assert state(board, post_id).captions == {1: "Fresh!"}
    says(board, "generation-results", a_result(post_id))
    assert state(board, post_id).state == "failed"
    assert board.state_of("mallory", post_id) is None


def a_late_step(board: PostBoard, post_id: UUID) -> None:
    says(board, "generation-progress", a_step(post_id, "Late"))


def a_repeated_job(board: PostBoard, post_id: UUID) -> None:
    says(board, "generation-jobs", a_job(post_id))


def another_result(board: PostBoard, post_id: UUID) -> None:
    says(board, "generation-results", a_result(post_id, "done"))


@pytest.mark.parametrize("late", [a_late_step, a_repeated_job, another_result])
def test_nothing_changes_a_post_that_has_ended(late: Callable[[PostBoard, UUID], None]) -> None:
    """The topics are read side by side: a step may be read behind the result that follows it."""
    board, post_id = a_board(), uuid4()
    says(board, "generation-jobs", a_job(post_id))
    says(board, "generation-results", a_result(post_id))
    before = state(board, post_id)
    late(board, post_id)
    assert state(board, post_id) == before


def test_a_job_that_only_asks_again_says_nothing_of_how_the_post_stands() -> None:
    board, post_id = a_board(), uuid4()
    says(board, "generation-jobs", a_job(post_id).model_copy(update={"repeated": True}))
    assert board.state_of(ALICE, post_id) is None


def test_what_was_asked_for_is_known_of_a_post_that_the_board_has_only_steps_of() -> None:
    board, post_id = a_board(), uuid4()
    options = a_job(post_id).options()
    stored = PostState(post_id, ALICE, options=options, requested_at=NOW)
    assert board.newer(stored) == stored
    says(board, "generation-progress", a_step(post_id, "Espresso!"))
    state = board.newer(stored)
    assert (state.state, state.captions) == ("generating", {1: "Espresso!"})
    assert (state.options, state.requested_at) == (options, NOW)
    ended = PostState(post_id, ALICE, "failed", options, NOW, result=a_result(post_id))
    assert board.newer(ended) == ended


def test_a_key_that_the_quota_refused_may_be_paid_for_later() -> None:
    board, post_id = a_board(), uuid4()
    refusal = a_result(post_id).model_copy(update={"credits_charged": 0, "credits_refunded": 0})
    says(board, "generation-results", refusal)
    says(board, "generation-results", a_result(post_id, "done"))
    assert state(board, post_id).state == "done"
    says(board, "generation-results", refusal)
    assert state(board, post_id).state == "done"


def test_long_prompts_and_captions_leave_room_for_fewer_posts() -> None:
    board = PostBoard(KafkaSettings(topic_prefix=""), NOW, most_characters=10_000)
    posts = [uuid4() for _ in range(20)]
    for post_id in posts:
        job = a_job(post_id).model_copy(update={"prompt": "x" * 2_000})
        says(board, "generation-jobs", job)
    known = [post_id for post_id in posts if board.state_of(ALICE, post_id)]
    assert known == posts[-5:]


def test_the_oldest_posts_are_forgotten_when_there_are_many() -> None:
    board, posts = a_board(most=10), [uuid4() for _ in range(25)]
    for post_id in posts:
        says(board, "generation-jobs", a_job(post_id))
    known = [post_id for post_id in posts if board.state_of(ALICE, post_id)]
    assert known == posts[-10:]


@pytest.mark.parametrize("value", [b"", b"{", b'{"post_id": "1"}', b"\xff"])
def test_a_message_that_cannot_be_read_is_passed_over(value: bytes) -> None:
    board, post_id = a_board(), uuid4()
    for topic in ("generation-jobs", "generation-progress", "generation-results"):
        board.take(a_record(topic, value))
    says(board, "generation-jobs", a_job(post_id))
    assert state(board, post_id).state == "queued"


async def test_who_watches_sees_each_state_until_the_end() -> None:
    board, post_id = a_board(), uuid4()
    says(board, "generation-jobs", a_job(post_id))
    seen: list[str] = []
    async with aclosing(board.watch(ALICE, post_id)) as states:
        seen.append((await anext(states)).state)
        says(board, "generation-progress", a_step(post_id, "Fresh!"))
        seen.append((await anext(states)).state)
        says(board, "generation-results", a_result(post_id))
        seen += [each.state async for each in states]
    assert seen == ["queued", "generating", "failed"]


async def test_a_post_that_is_forgotten_ends_the_watching() -> None:
    board, post_id = a_board(most=1), uuid4()
    says(board, "generation-jobs", a_job(post_id))
    async with aclosing(board.watch(ALICE, post_id)) as states:
        await anext(states)
        coming = asyncio.ensure_future(anext(states, None))
        await asyncio.sleep(0)
        says(board, "generation-jobs", a_job(uuid4()))
        async with asyncio.timeout(5):
            assert await coming is None


async def test_nothing_is_kept_of_who_stopped_watching() -> None:
    board, post_id = a_board(), uuid4()
    says(board, "generation-jobs", a_job(post_id))
    async with aclosing(board.watch(ALICE, post_id)) as states:
        await anext(states)
        assert board.watched() == 1
    assert board.watched() == 0
