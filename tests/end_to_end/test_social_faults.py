"""Many posts of many users on two workers, whole and while they are killed: all end, once."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final
from uuid import uuid4

import pytest

from deploy.local.managed_process import ManagedProcess
from deploy.local.ports import free_port
from schemas.generation import GenerationRequest, GenerationResult
from schemas.partitioning import partition_for
from schemas.quotas import QuotaDecision
from schemas.topics import USER_PARTITIONS
from tests.openai_fake import KEY
from tests.services import Services
from tests.streams.social.stream import Stream
from tests.weir import Json, Weir, throwaway_weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(280)]

USERS: Final = 40
POSTS: Final = 200
DELAY: Final = 1.0
KILLS: Final = 3
REFUSED: Final = "[refusal] [always]"


class Stage:
    """One Weir with two social workers before a fake of OpenAI."""

    def __init__(self, weir: Weir, fake: int, in_flight: int) -> None:
        self.weir = weir
        self.stream = Stream(weir)
        self.workers: list[ManagedProcess] = []
        self._fake = fake
        self._settings = {
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": f"http://127.0.0.1:{fake}/v1",
            "WEIR_GENERATIONS_IN_FLIGHT": str(in_flight),
        }

    def start(self, number: int) -> ManagedProcess:
        folder = self.weir.folder / f"social-{number}"
        return self.weir.start_social({**self._settings, "WEIR_SOCIAL_DIR": str(folder)})

    async def calls(self) -> Json:
        async with self.weir.session.get(f"http://127.0.0.1:{self._fake}/calls") as answer:
            return await answer.json()

    async def has_ended(self, least: int) -> bool:
        return len(await self.ended()) >= least

    async def ended(self) -> dict[str, GenerationResult]:
        results = await self.stream.read("generation-results", GenerationResult)
        return {str(each.post_id): each for each in results}

    async def ready(self) -> bool:
        return all(
            "worker ready" in line
            for worker in self.workers
            for line in ["".join(worker.last_lines(50))]
        )

    async def warm(self) -> None:
        """Both workers have made posts: connections are there."""
        requests = [a_request(f"warm-{number}", number) for number in range(40)]
        await self.stream.ask(*requests)
        await self.stream.results(*requests)


@asynccontextmanager
async def staged(services: Services, folder: Path, in_flight: int) -> AsyncIterator[Stage]:
    async with throwaway_weir(services, folder) as weir:
        port = free_port()
        weir.process(["-m", "tests.openai_fake", str(port), str(DELAY)])
        stage = Stage(weir, port, in_flight)
        weir.start_quotas()
        stage.workers = [stage.start(number) for number in range(2)]
        await weir.eventually(stage.ready)
        yield stage


def users() -> list[str]:
    """As many on each partition, so that both workers have the same to do."""
    found: dict[int, list[str]] = {number: [] for number in range(USER_PARTITIONS)}
    number = 0
    while any(len(each) < USERS // USER_PARTITIONS for each in found.values()):
        number += 1
        name = f"user-{number}"
        mine = found[partition_for(name.encode(), USER_PARTITIONS)]
        if len(mine) < USERS // USER_PARTITIONS:
            mine.append(name)
    return [name for names in found.values() for name in names]


def a_request(user: str, number: int, script: str = "") -> GenerationRequest:
    return GenerationRequest(
        post_id=uuid4(),
        user_id=user,
        issued_at=datetime.now(UTC),
        prompt=f"post {number} {uuid4()} {script}".strip(),
    )


@pytest.mark.parametrize("in_flight", [10])
async def test_posts_of_many_users_are_made_side_by_side(
    services: Services, tmp_path: Path, in_flight: int
) -> None:
    async with staged(services, tmp_path, in_flight) as stage:
        await stage.warm()
        everybody = users()
        requests = [a_request(everybody[number % USERS], number) for number in range(POSTS)]
        missing = {each.post_id for each in requests}
        async with stage.stream.new("generation-results", GenerationResult) as results:
            began = monotonic()
            await stage.stream.ask(*requests)
            async with asyncio.timeout(60):
                async for result in results:
                    assert result.state == "done"
                    missing.discard(result.post_id)
                    if not missing:
                        break
            seconds = monotonic() - began
        ideal = POSTS / (2 * in_flight) * DELAY
        print(f"{POSTS} posts in {seconds:.2f} s, ideal {ideal:.2f} s")
        assert seconds <= 1.5 * ideal, f"{seconds:.2f} s of {ideal:.2f} s"
        calls = await stage.calls()
        assert calls["wrong"] == []
        assert set(calls["begun"].values()) == {1}


async def test_killed_workers_finish_every_post_and_repeat_none(
    services: Services, tmp_path: Path
) -> None:
    chance = random.Random(6)
    async with staged(services, tmp_path, in_flight=20) as stage:
        everybody = users()
        requests = [
            a_request(everybody[number % USERS], number, REFUSED if number % 7 == 0 else "")
            for number in range(POSTS)
        ]
        await stage.stream.ask(*requests)
        finished: dict[str, int] = {}
        for number in range(1, KILLS + 1):
            least = POSTS * number // 5 + chance.randrange(POSTS // 10)
            await stage.weir.eventually(partial(stage.has_ended, least))
            victim = number % 2
            os.killpg(stage.workers[victim].pid, signal.SIGKILL)
            calls = await stage.calls()
            # What is decided now must not be asked for again.
            prompts = {str(each.post_id): each.prompt for each in requests}
            for post_id in await stage.ended():
                prompt = prompts[post_id]
                finished.setdefault(prompt, begun(calls, prompt))
            await stage.workers[victim].stop(5)
            stage.workers[victim] = stage.start(victim)
        results = await stage.stream.results(*requests)
        assert len({each.model_dump_json() for each in results}) == POSTS

        failed = {each.post_id for each in results if each.state == "failed"}
        assert len(failed) == len([each for each in requests if REFUSED in each.prompt])

        async def refunded() -> bool:
            decisions = await stage.stream.read("quota-decisions", QuotaDecision)
            return len(decisions) >= POSTS + len(failed)

        await stage.weir.eventually(refunded)
        decisions = await stage.stream.read("quota-decisions", QuotaDecision)
        assert all(each.applied for each in decisions)
        used = Counter({each.user_id: each.quota_used for each in latest(decisions)})
        done = Counter({each.user_id: 0 for each in results})
        for each in {each.post_id: each for each in results if each.state == "done"}.values():
            done[each.user_id] += 1
        assert used == done

        calls = await stage.calls()
        assert calls["wrong"] == []
        assert finished
        assert {prompt: begun(calls, prompt) for prompt in finished} == finished


def begun(calls: Json, prompt: str) -> int:
    return int(
        calls["begun"].get(f"caption {prompt}", 0) + calls["begun"].get(f"picture {prompt}", 0)
    )


def latest(decisions: list[QuotaDecision]) -> list[QuotaDecision]:
    """The last decision about each user."""
    return list(
        {each.user_id: each for each in sorted(decisions, key=lambda it: it.number)}.values()
    )
