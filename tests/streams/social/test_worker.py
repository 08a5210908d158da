"""The social worker on real Kafka: charged once, one result each, whatever is killed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition
from pydantic import BaseModel

from deploy.local.managed_process import ManagedProcess
from schemas.generation import GenerationJob, GenerationRequest, GenerationResult, refund_id_for
from schemas.quotas import QuotaDecision, TopUp
from tests.services import Services
from tests.weir import Weir, throwaway_weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]

_Model = TypeVar("_Model", bound=BaseModel)


class Stream:
    """Writes requests to one Weir's topics, and reads what became of them."""

    def __init__(self, weir: Weir) -> None:
        self.weir = weir

    async def send(
        self,
        topic: str,
        messages: Sequence[tuple[bytes | None, bytes]],
        partition: int | None = None,
    ) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.weir.kafka.bootstrap_servers, enable_idempotence=True
        )
        await producer.start()
        try:
            await asyncio.gather(
                *[
                    await producer.send(self.weir.topic(topic), key=key, value=value)
                    for key, value in messages
                ]
            )
        finally:
            await producer.stop()

    async def ask(self, *requests: GenerationRequest) -> None:
        await self.send(
            "generation-requests",
            [(each.user_id.encode(), each.model_dump_json().encode()) for each in requests],
        )

    async def top_up(self, user: str, count: int) -> None:
        command = TopUp(
            command_id=uuid4(),
            user_id=user,
            issued_at=datetime.now(UTC),
            reason="test",
            count=count,
        )
        await self.send("quota-commands", [(user.encode(), command.model_dump_json().encode())])

    async def read(self, topic: str, model: type[_Model]) -> list[_Model]:
        """All that lies on a topic now."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.weir.kafka.bootstrap_servers, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            places = [TopicPartition(self.weir.topic(topic), each) for each in range(4)]
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            found = []
            for place in places:
                consumer.seek(place, 0)
            while any([await consumer.position(each) < ends[each] for each in places]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += [model.model_validate_json(each.value) for each in records]
            return found
        finally:
            await consumer.stop()

    async def results(self, *requests: GenerationRequest) -> list[GenerationResult]:
        """Waits until each request has a result; all results of these, copies too."""
        wanted = {each.post_id for each in requests}
        found: list[GenerationResult] = []

        async def all_there() -> bool:
            found[:] = [
                each
                for each in await self.read("generation-results", GenerationResult)
                if each.post_id in wanted
            ]
            return {each.post_id for each in found} == wanted

        await self.weir.eventually(all_there, within=60)
        return found

    async def decisions(self, user: str) -> list[QuotaDecision]:
        found = await self.read("quota-decisions", QuotaDecision)
        return [each for each in found if each.user_id == user]


def a_request(user: str, prompt: str = "New espresso", variants: int = 1) -> GenerationRequest:
    return GenerationRequest(
        post_id=uuid4(),
        user_id=user,
        issued_at=datetime.now(UTC),
        prompt=prompt,
        variants=variants,
    )


def a_user() -> str:
    return f"user-{uuid4()}"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stream(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stream]:
    async with throwaway_weir(services, tmp_path_factory.mktemp("social")) as weir:
        weir.start_quotas()
        weir.start_social()
        yield Stream(weir)


async def test_a_request_is_charged_and_generated_once(stream: Stream) -> None:
    user = a_user()
    request = a_request(user, variants=2)
    await stream.ask(request)
    [result] = await stream.results(request)
    assert (result.state, result.stub, result.credits_charged) == ("done", True, 2)
    assert [each.number for each in result.variants] == [1, 2]
    folder = stream.weir.folder / "data" / "media-store" / "media"
    for each in result.variants:
        assert (folder / each.picture.key).read_bytes().startswith(b"\x89PNG")
    [decision] = await stream.decisions(user)
    assert (decision.command_id, decision.count, decision.reason) == (
        request.post_id,
        2,
        "social post",
    )


async def test_the_same_request_again_costs_nothing_and_changes_nothing(stream: Stream) -> None:
    user = a_user()
    request, last = a_request(user), a_request(user)
    await stream.ask(request, request)
    await stream.ask(request, last)
    results = await stream.results(request, last)
    assert len(results) == 2
    assert len(await stream.decisions(user)) == 2


async def test_what_is_no_request_becomes_a_dead_letter_and_stops_nothing(stream: Stream) -> None:
    user = a_user()
    request = a_request(user)
    body = request.model_dump_json().encode()
    await stream.send(
        "generation-requests",
        [
            (user.encode(), b"{"),
            (user.encode(), body.replace(b"New espresso", b"   ")),
            (b"somebody else", body),
            (user.encode(), None),  # type: ignore[list-item] # a tombstone
        ],
    )
    await stream.send("generation-jobs", [(user.encode(), b"[]")])
    await stream.ask(request)
    [result] = await stream.results(request)
    assert result.state == "done"


def is_running(process: ManagedProcess) -> bool:
    return process.running


async def test_a_post_that_fails_is_refunded_once(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with throwaway_weir(services, tmp_path_factory.mktemp("failing")) as weir:
        weir.start_quotas()
        weir.start_social({"WEIR_STUB_FAILURES": "1"})
        stream, user = Stream(weir), a_user()
        request = a_request(user, variants=3)
        await stream.ask(request)
        [result] = await stream.results(request)
        assert (result.state, result.credits_refunded) == ("failed", 3)
        assert result.detail

        async def refunded() -> bool:
            return len(await stream.decisions(user)) == 2

        await weir.eventually(refunded)
        spent, refund = await stream.decisions(user)
        assert (spent.quota_used, refund.quota_used) == (3, 0)
        assert refund.command_id == refund_id_for(user, request.post_id)


async def test_killed_workers_leave_no_post_out_and_make_none_twice(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with throwaway_weir(services, tmp_path_factory.mktemp("killed")) as weir:
        stream = Stream(weir)
        weir.start_quotas()
        settings = {
            "WEIR_STUB_DELAY": "0.5",
            "WEIR_STUB_FAILURES": "0.3",
            "WEIR_GENERATIONS_IN_FLIGHT": "5",
        }
        worker = weir.start_social(settings)
        requests = [a_request(a_user(), f"post {number}") for number in range(60)]
        await stream.ask(*requests)

        async def at_least(count: int) -> bool:
            return len(await stream.read("generation-results", GenerationResult)) >= count

        for count in (5, 20, 35):
            await weir.eventually(lambda least=count: at_least(least), process=worker)  # type: ignore[misc] # bound now
            os.killpg(worker.pid, signal.SIGKILL)
            await worker.stop(5)
            worker = weir.start_social(settings)
        results = await stream.results(*requests)
        by_post: dict[UUID, set[str]] = {}
        for each in results:
            by_post.setdefault(each.post_id, set()).add(each.model_dump_json())
        # A result may be written again, and is the same.
        assert all(len(each) == 1 for each in by_post.values())
        failed = {each.post_id for each in results if each.state == "failed"}
        assert 0 < len(failed) < len(requests)

        async def all_refunded() -> bool:
            decisions = await stream.read("quota-decisions", QuotaDecision)
            return len(decisions) >= len(requests) + len(failed)

        await weir.eventually(all_refunded)
        decisions = await stream.read("quota-decisions", QuotaDecision)
        assert all(each.applied for each in decisions)
        used = {each.user_id: each.quota_used for each in decisions}
        assert used == {each.user_id: 0 if each.post_id in failed else 1 for each in requests}


async def test_requests_are_charged_while_many_jobs_wait(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with throwaway_weir(services, tmp_path_factory.mktemp("waiting")) as weir:
        stream = Stream(weir)
        weir.start_quotas()
        worker = weir.start_social({"WEIR_STUB_DELAY": "60", "WEIR_GENERATIONS_IN_FLIGHT": "2"})
        requests = [a_request(a_user()) for _ in range(300)]
        await stream.ask(*requests)

        async def all_charged() -> bool:
            return len(await stream.read("generation-jobs", GenerationJob)) == len(requests)

        await weir.eventually(all_charged, within=30, process=worker)
        # It ends in time though none is done.
        worker.terminate()
        assert await worker.stop(8) == 0
