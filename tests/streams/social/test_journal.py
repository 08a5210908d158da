"""What is remembered of posts: by user and post alone, and for long enough."""

import asyncio
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time
from typing import Final
from uuid import uuid4

import pytest
from obstore.store import LocalStore

from schemas.generation import GenerationJob, GenerationProgress
from streams.social.generator import Generator
from streams.social.journal import FOLDER, KEPT
from streams.social.object_storage import ObjectStorage
from streams.social.provider import Made, Tally

NOON: Final = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Counting:
    """A provider that counts, and makes next to nothing."""

    stub = True

    def __init__(self) -> None:
        self.calls = 0

    async def caption(self, job: GenerationJob, number: int, tally: Tally) -> str:
        self.calls += 1
        return f"caption {self.calls}"

    async def picture(self, job: GenerationJob, number: int, tally: Tally) -> Made:
        self.calls += 1
        return Made(b"\x89PNG\r\n\x1a\n" + bytes([self.calls]), 1, 1)

    def problem(self) -> str | None:
        return None


def a_generator(folder: Path, provider: Counting, now: datetime = NOON) -> Generator:
    return Generator(provider, ObjectStorage(LocalStore(folder, mkdir=True)), lambda: now)


def a_job(asked: datetime = NOON) -> GenerationJob:
    return GenerationJob(post_id=uuid4(), user_id="alice", requested_at=asked, prompt="espresso")


def ignored(_: GenerationProgress) -> None:
    pass


async def test_who_asks_again_on_another_day_gets_the_same_post(tmp_path: Path) -> None:
    provider = Counting()
    generator = a_generator(tmp_path, provider)
    job = a_job()
    first = await generator.generate(job, ignored)
    again = job.model_copy(update={"requested_at": NOON + timedelta(days=1), "repeated": True})
    found = await generator.generate(again, ignored)
    assert found.found
    assert found.result == first.result
    assert provider.calls == 2


async def test_who_pays_again_weeks_later_under_the_same_key_gets_another_post(
    tmp_path: Path,
) -> None:
    provider = Counting()
    generator = a_generator(tmp_path, provider)
    job = a_job()
    first = await generator.generate(job, ignored)
    for file in (tmp_path / FOLDER).rglob("*"):
        os.utime(file, (0, 0))
    # Five weeks later the account does not know the key any more, and charges it.
    later = job.model_copy(
        update={"requested_at": NOON + timedelta(days=36), "prompt": "tea", "variants": 2}
    )
    second = await generator.generate(later, ignored)
    assert not second.found
    assert len(second.result.variants) == 2
    captions = {each.caption for each in (*first.result.variants, *second.result.variants)}
    assert len(captions) == 3
    # From now on it is this one, whoever asks: also when the old job is read once more.
    repeated = later.model_copy(update={"repeated": True})
    for each in (later, repeated, job):
        found = await generator.generate(each, ignored)
        assert (found.found, found.result) == (True, second.result)
    assert provider.calls == 6
    # All of it is remembered for as long as this post is.
    assert await generator.sweep() == 0
    assert all(each.stat().st_mtime for each in (tmp_path / FOLDER).rglob("*") if each.is_file())


async def test_a_kill_while_another_post_begins_leaves_nothing_of_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Counting()
    job = a_job()
    await a_generator(tmp_path, provider).generate(job, ignored)
    later = job.model_copy(update={"requested_at": NOON + timedelta(days=36)})
    whole = ObjectStorage.delete
    for deletions in (0, 1):
        left = iter(range(deletions))

        async def delete(self: ObjectStorage, paths: list[str], left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise Killed
            await whole(self, paths)

        with monkeypatch.context() as patch:
            patch.setattr(ObjectStorage, "delete", delete)
            with pytest.raises(Killed):
                await a_generator(tmp_path, provider).generate(later, ignored)
    assert provider.calls == 2
    result = (await a_generator(tmp_path, provider).generate(later, ignored)).result
    assert [each.caption for each in result.variants] == ["caption 3"]


class Killed(Exception):
    """Here the worker ends."""


async def test_a_request_that_says_an_old_time_is_remembered_as_long(tmp_path: Path) -> None:
    provider = Counting()
    generator = a_generator(tmp_path, provider, datetime.now(UTC))
    job = a_job(NOON - timedelta(days=400))
    await generator.generate(job, ignored)
    for hour in range(24):
        now = datetime.now(UTC).replace(hour=hour)
        assert await a_generator(tmp_path, provider, now).sweep() == 0
    assert (await generator.generate(job, ignored)).found


async def test_posts_that_nobody_can_ask_for_again_are_forgotten(tmp_path: Path) -> None:
    provider = Counting()
    generator = a_generator(tmp_path, provider)
    old, new = a_job(), a_job()
    for job in (old, new):
        await generator.generate(job, ignored)
    # Over at any hour of today.
    long_ago = time() - KEPT.total_seconds() - 25 * 3600
    identity = [each for each in (tmp_path / FOLDER).glob("*/*") if each.is_dir()]
    outcome = {each: (each / "outcome.json").read_text() for each in identity}
    [folder] = [each for each, text in outcome.items() if str(old.post_id) in text]
    for file in folder.iterdir():
        os.utime(file, (long_ago, long_ago))
    deleted = 0
    for hour in range(24):
        now = datetime.now(UTC).replace(hour=hour)
        deleted += await a_generator(tmp_path, provider, now).sweep()
    assert deleted == 4
    assert not (await generator.generate(old, ignored)).found
    assert (await generator.generate(new, ignored)).found


async def test_a_store_that_takes_nothing_costs_nothing(tmp_path: Path) -> None:
    provider = Counting()
    storage = ObjectStorage(LocalStore(tmp_path, mkdir=True), first_pause=0.001)
    generator = Generator(provider, storage, lambda: NOON)
    (tmp_path / FOLDER).write_text("a file where the folder should be")
    outcome = await asyncio.gather(generator.generate(a_job(), ignored), return_exceptions=True)
    assert isinstance(outcome[0], Exception)
    assert provider.calls == 0
