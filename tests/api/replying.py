"""Writes replies as a worker does, for tests of who waits for them."""

import asyncio
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4

from aiokafka import AIOKafkaProducer

from api.replies import Expected, Replies
from schemas.generation import GenerationResult
from schemas.quotas import QuotaDecision
from schemas.replies import REPLY_PARTITION_HEADER, REQUEST_ID_HEADER, Reply
from schemas.topics import REPLIES
from tests.weir import Weir

NOW: Final = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


def a_decision() -> QuotaDecision:
    return QuotaDecision(
        decision_id=uuid4(),
        command_id=uuid4(),
        user_id="alice",
        kind="spend",
        applied=True,
        reason="spent",
        plan="free",
        plans_version=1,
        limit=100,
        quota_used=1,
        remaining=99,
        period_start=NOW.replace(day=1),
        resets_at=NOW.replace(month=12, day=1),
        decided_at=NOW,
    )


def a_result(user_id: str = "alice") -> GenerationResult:
    return GenerationResult(
        post_id=uuid4(),
        user_id=user_id,
        state="failed",
        reason="provider_unavailable",
        detail="try again later",
        credits_charged=1,
        credits_refunded=1,
        requested_at=NOW,
        finished_at=NOW,
    )


async def write(weir: Weir, expected: Expected, value: bytes, *, key: bytes | None = None) -> None:
    """Writes a message where a worker writes the reply that is expected."""
    headers = dict(expected.headers)
    producer = AIOKafkaProducer(**weir.kafka.client_arguments())
    async with producer:
        await producer.send_and_wait(
            weir.topic(REPLIES.name),
            key=headers[REQUEST_ID_HEADER] if key is None else key,
            value=value,
            partition=int(headers[REPLY_PARTITION_HEADER]),
        )


def reply_to(
    expected: Expected,
    decision: QuotaDecision | None = None,
    *,
    result: GenerationResult | None = None,
) -> bytes:
    request_id = UUID(bytes=dict(expected.headers)[REQUEST_ID_HEADER])
    reply = Reply(request_id=request_id, decision=decision, result=result)
    return reply.model_dump_json().encode()


async def ready(weir: Weir, replies: Replies) -> None:
    async def answered() -> bool:
        return replies.problem() is None

    await weir.eventually(answered)


async def within(seconds: float, expected: Expected) -> QuotaDecision:
    async with asyncio.timeout(seconds):
        return await expected.decision
