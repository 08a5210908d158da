"""The social worker on real Kafka: charged once, one result each, whatever is killed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from deploy.local.managed_process import ManagedProcess
from schemas.dead_letters import DeadLetter
from schemas.generation import GenerationJob, GenerationRequest, GenerationResult, refund_id_for
from schemas.partitioning import partition_for
from schemas.quotas import QuotaDecision
from schemas.topics import USER_PARTITIONS
from streams.group.stalls import CHECK_SECONDS, STANDS_STILL
from streams.group.work_lane import MAX_IN_LANE
from tests.services import Services
from tests.streams.social.stream import Stream
from tests.unreadable_names import UNREADABLE, send_together
from tests.weir import throwaway_weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]


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
        await weir.keep(weir.start_quotas)
        await weir.keep(weir.start_social)
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

    async def all_there() -> bool:
        letters = await stream.read("dead-letters", DeadLetter)
        return len([each for each in letters if each.key in {user, "somebody else"}]) == 5

    await stream.weir.eventually(all_there)
    letters = await stream.read("dead-letters", DeadLetter)
    reasons = sorted(each.reason for each in letters if each.key in {user, "somebody else"})
    assert reasons == ["invalid_field", "invalid_field", "not_json", "not_json", "wrong_key"]


async def test_a_header_name_that_is_not_utf8_stops_nothing(stream: Stream) -> None:
    user = a_user()
    requests = [a_request(user) for _ in range(3)]
    values = [each.model_dump_json().encode() for each in requests]
    await send_together(
        stream.weir.kafka,
        stream.weir.topic("generation-requests"),
        partition_for(user.encode(), USER_PARTITIONS),
        [
            (user.encode(), value, [UNREADABLE] if number == 1 else [])
            for number, value in enumerate(values)
        ],
    )
    assert {each.state for each in await stream.results(*requests)} == {"done"}
    assert all(map(is_running, stream.weir.processes))


async def test_no_log_says_what_a_prompt_says(stream: Stream) -> None:
    user, secret = a_user(), f"secret {uuid4()}"
    request = a_request(user, secret)
    unusable = a_request(user, secret).model_dump_json().encode().replace(b'"prompt":', b'"x":')
    await stream.send("generation-requests", [(user.encode(), unusable)])
    await stream.send("generation-jobs", [(user.encode(), unusable)])
    await stream.ask(request)
    await stream.results(request)
    said = "".join(each.log.read_text() for each in stream.weir.processes)
    assert str(request.post_id) in said
    assert secret not in said


def is_running(process: ManagedProcess) -> bool:
    return process.running


async def test_a_post_that_fails_is_refunded_once(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with throwaway_weir(services, tmp_path_factory.mktemp("failing")) as weir:
        await weir.keep(weir.start_quotas)
        await weir.keep(partial(weir.start_social, {"WEIR_STUB_FAILURES": "1"}))
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
        await weir.keep(weir.start_quotas)
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


async def test_a_second_worker_takes_over_half_of_the_users_and_repeats_nothing(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with throwaway_weir(services, tmp_path_factory.mktemp("shared")) as weir:
        stream = Stream(weir)
        await weir.keep(weir.start_quotas)
        settings = {"WEIR_STUB_DELAY": "0.3", "WEIR_GENERATIONS_IN_FLIGHT": "5"}
        workers = [weir.start_social({**settings, "WEIR_SOCIAL_DIR": str(weir.folder / "one")})]
        requests = [a_request(a_user(), f"post {number}") for number in range(120)]
        await stream.ask(*requests)

        async def begun() -> bool:
            return bool(await stream.read("generation-results", GenerationResult))

        await weir.eventually(begun, process=workers[0])
        workers.append(
            weir.start_social({**settings, "WEIR_SOCIAL_DIR": str(weir.folder / "other")})
        )

        async def takes_part() -> bool:
            # As many more as two workers make meanwhile: there is work until it has joined.
            more = [a_request(a_user()) for _ in range(5)]
            requests.extend(more)
            await stream.ask(*more)
            return "post decided" in workers[1].log.read_text()

        await weir.eventually(takes_part, within=120, process=workers[1])
        results = await stream.results(*requests)
        assert {each.state for each in results} == {"done"}
        assert all(each.running for each in workers)
        # Each was decided by one; what was under way when it came was finished, not begun again.
        decided = [
            line
            for each in workers
            for line in each.log.read_text().splitlines()
            if '"post decided"' in line
        ]
        assert len(decided) == len(requests)
        assert all('"first": true' in line for line in decided)
        assert all("post decided" in each.log.read_text() for each in workers)
        decisions = await stream.read("quota-decisions", QuotaDecision)
        used = sorted((each.user_id, each.quota_used) for each in decisions)
        assert used == sorted((each.user_id, 1) for each in requests)


async def test_requests_are_charged_while_many_jobs_wait(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with throwaway_weir(services, tmp_path_factory.mktemp("waiting")) as weir:
        stream = Stream(weir)
        await weir.keep(weir.start_quotas)
        worker = weir.start_social({"WEIR_STUB_DELAY": "60", "WEIR_GENERATIONS_IN_FLIGHT": "2"})
        requests = [a_request(a_user()) for _ in range(300)]
        await stream.ask(*requests)

        async def all_charged() -> bool:
            return len(await stream.read("generation-jobs", GenerationJob)) == len(requests)

        await weir.eventually(all_charged, within=30, process=worker)
        # It ends in time though none is done.
        assert await worker.stop(8) == 0


async def test_more_jobs_than_a_lane_holds_are_no_stall_and_repeats_hold_nobody_up(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with throwaway_weir(services, tmp_path_factory.mktemp("full")) as weir:
        stream, user = Stream(weir), a_user()
        worker = weir.start_social({"WEIR_STUB_DELAY": "40", "WEIR_GENERATIONS_IN_FLIGHT": "2"})
        slow = a_job(user)
        repeats = [slow.model_copy(update={"repeated": True})] * (MAX_IN_LANE + 200)
        await stream.send(
            "generation-jobs",
            [(user.encode(), each.model_dump_json().encode()) for each in [slow, *repeats]],
        )
        # Twice as long as a worker may stand still.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(worker.wait(), 2 * (CHECK_SECONDS + STANDS_STILL))
        await weir.eventually(partial(ended, stream, slow), process=worker)


def a_job(user: str) -> GenerationJob:
    return GenerationJob(
        post_id=uuid4(), user_id=user, requested_at=datetime.now(UTC), prompt="New espresso"
    )


async def ended(stream: Stream, job: GenerationJob) -> bool:
    results = await stream.read("generation-results", GenerationResult)
    return job.post_id in {each.post_id for each in results}
