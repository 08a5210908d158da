"""A job that breaks the worker's own code: tried a few times, then failed and refunded."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest
from aiokafka.structs import TopicPartition
from obstore.store import LocalStore

from schemas.generation import GenerationJob, GenerationResult
from schemas.partitioning import partition_for
from schemas.quotas import Refund
from schemas.topics import TOPICS, USER_PARTITIONS
from streams.group.work_lane import Slot
from streams.records import Headers
from streams.social.generator import Generator
from streams.social.object_storage import ObjectStorage
from streams.social.outputs import Outputs
from streams.social.posts import TRIES, Posts
from streams.social.provider import Made, Tally
from streams.writer import Writer
from tests.services import Services
from tests.streams.social.stream import Stream
from tests.weir import throwaway_weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]

SECRET: Final = "a prompt that nobody else may read"


@dataclass(frozen=True)
class AMessage:
    """As aiokafka reads it."""

    key: bytes
    value: bytes
    timestamp: int
    offset: int = 7
    headers: Headers = field(default=())


class Broken:
    """A provider with a mistake in it, which it says with all it was given."""

    stub = True

    def __init__(self) -> None:
        self.calls = 0

    async def caption(self, job: GenerationJob, number: int, tally: Tally) -> str:
        self.calls += 1
        raise RuntimeError(job.prompt)

    async def picture(self, job: GenerationJob, number: int, tally: Tally) -> Made:
        raise RuntimeError(job.prompt)

    def problem(self) -> str | None:
        return None


async def test_a_job_that_breaks_the_code_fails_is_refunded_and_its_prompt_is_not_logged(
    services: Services,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    job = GenerationJob(
        post_id=uuid4(),
        user_id="alice",
        requested_at=datetime.now(UTC),
        prompt=SECRET,
        variants=2,
    )
    place = TopicPartition("jobs", partition_for(b"alice", USER_PARTITIONS))
    message = AMessage(
        b"alice", job.model_dump_json().encode(), int(1000 * job.requested_at.timestamp())
    )
    partitions: Mapping[str, int] = {topic.name: topic.partitions for topic in TOPICS}
    async with throwaway_weir(services, tmp_path) as weir:
        writer, provider = Writer(weir.kafka), Broken()
        storage = ObjectStorage(LocalStore(tmp_path / "media", mkdir=True))
        slot = Slot(asyncio.Semaphore(1))
        await writer.start()
        posts = Posts(
            Generator(provider, storage, lambda: datetime.now(UTC)),
            writer,
            Outputs(weir.kafka, partitions["replies"]),
            lambda _: None,
            partitions=USER_PARTITIONS,
        )
        try:
            await posts.generate_social_post(place, message, slot)
            made = provider.calls
            # Handed over again it ends as it did.
            await posts.generate_social_post(place, message, slot)
        finally:
            await writer.stop()
        stream = Stream(weir)
        results = await stream.read("generation-results", GenerationResult)
        refunds = await stream.read("quota-commands", Refund)
    assert provider.calls == made == TRIES * job.variants
    assert len(results) == 2
    assert results[0] == results[1]
    assert (results[0].state, results[0].reason) == ("failed", "unusable_answer")
    assert results[0].credits_refunded == 2
    assert {(each.spend_id, each.count) for each in refunds} == {(job.post_id, 2)}
    said = caplog.text + "".join(capsys.readouterr())
    assert said.count("a post ended in an error") == TRIES
    assert "RuntimeError" in said
    assert SECRET not in said
