"""Two social workers before a fake of OpenAI, and many posts of many users."""

import asyncio
from datetime import UTC, datetime
from functools import cache
from time import monotonic
from typing import Final
from uuid import uuid4

from aiokafka import AIOKafkaProducer

from deploy.local.managed_process import ManagedProcess
from deploy.local.ports import free_port
from schemas.generation import GenerationRequest, GenerationResult
from schemas.partitioning import partition_for
from schemas.topics import GENERATION_REQUESTS, USER_PARTITIONS
from tests.openai_fake import KEY
from tests.streams.social.stream import Stream
from tests.weir import Json, Weir

USERS: Final = 40
POSTS: Final = 200
DELAY: Final = 1.0
"""Seconds of each call of the fake."""


class Stage:
    """One Weir with two social workers before a fake of OpenAI."""

    def __init__(self, weir: Weir, fake: int, in_flight: int) -> None:
        self.weir = weir
        self.stream = Stream(weir)
        self.workers: list[ManagedProcess] = []
        self._fake = fake
        self._in_flight = in_flight
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
        return all("worker ready" in "".join(each.last_lines(50)) for each in self.workers)

    async def seconds(self) -> float:
        """From the first of POSTS requests by USERS, all at once, to the last; all must be done."""
        await self._warm()
        requests = [a_request(number) for number in range(POSTS)]
        missing = {each.post_id for each in requests}
        messages = [(each.user_id.encode(), each.model_dump_json().encode()) for each in requests]
        topic = self.weir.topic(GENERATION_REQUESTS.name)
        producer = AIOKafkaProducer(**self.weir.kafka.client_arguments())
        async with self.stream.new("generation-results", GenerationResult) as results, producer:
            began = monotonic()
            for key, value in messages:
                await producer.send(topic, value, key)
            async with asyncio.timeout(60):
                async for result in results:
                    if result.state != "done":
                        raise RuntimeError(result.detail)
                    missing.discard(result.post_id)
                    if not missing:
                        break
            return monotonic() - began

    async def _warm(self) -> None:
        """Both workers have made as many posts as they make at once: connections are there."""
        requests = [a_request(number) for number in range(2 * self._in_flight)]
        await self.stream.ask(*requests)
        await self.stream.results(*requests)


async def staged(weir: Weir, in_flight: int) -> Stage:
    """Everything runs; `in_flight`: posts that one worker makes at once."""
    port = free_port()
    weir.process(["-m", "tests.openai_fake", str(port), str(DELAY)])
    stage = Stage(weir, port, in_flight)
    await weir.keep(weir.start_quotas)
    stage.workers = [stage.start(number) for number in range(2)]
    await weir.eventually(stage.ready, within=120)
    return stage


@cache
def _users() -> tuple[str, ...]:
    """As many on each partition, so that both workers have the same to do."""
    found: dict[int, list[str]] = {number: [] for number in range(USER_PARTITIONS)}
    number = 0
    while any(len(each) < USERS // USER_PARTITIONS for each in found.values()):
        number += 1
        name = f"user-{number}"
        mine = found[partition_for(name.encode(), USER_PARTITIONS)]
        if len(mine) < USERS // USER_PARTITIONS:
            mine.append(name)
    return tuple(name for names in found.values() for name in names)


def a_request(number: int, script: str = "") -> GenerationRequest:
    """Of one of USERS, each in turn; `script`: words for the fake."""
    return GenerationRequest(
        post_id=uuid4(),
        user_id=_users()[number % USERS],
        issued_at=datetime.now(UTC),
        prompt=f"post {number} {uuid4()} {script}".strip(),
    )


def ideal(in_flight: int) -> float:
    """Seconds that POSTS take two workers which do nothing but wait for the fake."""
    return POSTS / (2 * in_flight) * DELAY
