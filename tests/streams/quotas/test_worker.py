"""The quotas worker on real Kafka: what a command gets, and what a message that is none gets."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from deploy.local.managed_process import ManagedProcess
from deploy.local.ports import free_port
from schemas.dead_letters import DeadLetter
from schemas.generation import GenerationJob, GenerationResult
from schemas.partitioning import partition_for
from schemas.posts import PostOptions
from schemas.quotas import Forget, QuotaThreshold, Refund, TopUp
from schemas.replies import REPLY_PARTITION_HEADER, REQUEST_ID_HEADER
from schemas.topics import USER_PARTITIONS
from streams.quotas.stored import account_key, read_account, remembered_key
from tests.services import Services
from tests.streams.quotas.caller import REPLY_PARTITION, Caller, calling, show, spend, users_of
from tests.unreadable_names import READ_AS, UNREADABLE, send_together
from tests.weir import Weir, throwaway_weir

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]


@dataclass
class Worker:
    weir: Weir
    port: int


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def worker(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Worker]:
    """A worker for all tests of this module; each has users of its own."""
    async with throwaway_weir(services, tmp_path_factory.mktemp("quotas")) as weir:
        port = free_port()
        await weir.keep(partial(weir.start_quotas, {"WEIR_QUOTAS_PORT": str(port)}))
        yield Worker(weir, port)


@pytest_asyncio.fixture(loop_scope="session")
async def caller(worker: Worker) -> AsyncIterator[Caller]:
    async with calling(worker.weir) as caller:
        yield caller


async def test_a_command_gets_a_reply_a_line_of_the_ledger_and_a_change_of_the_account(
    caller: Caller,
) -> None:
    user = f"user-{uuid4()}"
    command = spend(user, 3)
    answer = await caller.ask(command)
    assert (answer.applied, answer.quota_used, answer.command_id) == (True, 3, command.command_id)
    await caller.until(lambda: _is_one(caller, user))
    assert await caller.decisions(user) == [answer]
    changes = {each.key: each for each in await caller.messages("quota-accounts")}
    change = changes[account_key(user)]
    assert read_account(change.value).used == 3
    assert remembered_key(account_key(user), command.command_id) in changes
    assert change.partition == partition_for(user.encode(), USER_PARTITIONS)


async def _is_one(caller: Caller, user: str) -> bool:
    return len(await caller.decisions(user)) == 1


async def test_the_same_command_again_gets_the_same_answer_and_changes_nothing(
    caller: Caller,
) -> None:
    user = f"user-{uuid4()}"
    command = spend(user, 7)
    answers = [await caller.ask(command) for _ in range(3)]
    assert answers == [answers[0]] * 3
    assert await caller.used(user) == 7
    assert await caller.decisions(user) == [answers[0]]


async def test_a_show_leaves_nothing_but_its_reply(caller: Caller) -> None:
    user = f"user-{uuid4()}"
    answer = await caller.ask(show(user))
    assert (answer.kind, answer.quota_used, answer.plan) == ("show", 0, "free")
    assert await caller.decisions(user) == []
    assert account_key(user) not in {each.key for each in await caller.messages("quota-accounts")}


async def test_a_refund_counts_once_however_it_is_asked(caller: Caller) -> None:
    user = f"user-{uuid4()}"
    spent = spend(user, 5)
    await caller.ask(spent)
    refunds = [
        Refund(
            command_id=uuid4(),
            user_id=user,
            issued_at=datetime.now(UTC),
            reason="it failed",
            spend_id=spent.command_id,
        )
        for _ in range(2)
    ]
    first, again, other = [await caller.ask(each) for each in (refunds[0], refunds[0], refunds[1])]
    assert (first.applied, first.quota_used) == (True, 0)
    assert again == first
    assert (other.applied, other.problem) == (False, "already_refunded")


async def test_a_threshold_is_published_once_for_all_who_want_to_know(caller: Caller) -> None:
    user = f"user-{uuid4()}"
    limit = (await caller.ask(show(user))).limit
    await caller.ask(spend(user, limit - 1))
    full = await caller.ask(spend(user, 1))
    refused = await caller.ask(spend(user, 1))
    assert full.crossed == [100]
    assert (refused.applied, refused.problem) == (False, "quota_exceeded")
    events = [
        QuotaThreshold.model_validate_json(each.value)
        for each in await caller.messages("quota-thresholds")
        if each.key == user.encode()
    ]
    assert [(each.threshold, each.quota_used) for each in events] == [(80, limit - 1), (100, limit)]


async def test_commands_that_nobody_waits_for_are_decided_too(caller: Caller) -> None:
    user = f"user-{uuid4()}"
    top_up = TopUp(
        command_id=uuid4(), user_id=user, issued_at=datetime.now(UTC), reason="bought", count=50
    )
    before = (await caller.ask(show(user))).limit
    await caller.send(top_up, waits=False)
    wrong = [("request-id", b"short"), ("reply-partition", b"x")]
    await caller.send(spend(user, 1), {"headers": wrong})
    after = await caller.ask(show(user))
    assert (after.limit, after.quota_used) == (before + 50, 1)


async def test_a_spend_for_a_post_hands_the_job_on_with_who_waits_for_it(caller: Caller) -> None:
    user = f"user-{uuid4()}"
    command = spend(user, 2).model_copy(
        update={"post": PostOptions(prompt="New espresso", platform="x", variants=2)}
    )
    first = await caller.ask(command)
    again = await caller.ask(command)
    assert first.applied
    assert again == first
    jobs = [each for each in await caller.messages("generation-jobs") if each.key == user.encode()]
    made = [GenerationJob.model_validate_json(each.value) for each in jobs]
    assert [each.repeated for each in made] == [False, True]
    assert made[0].model_copy(update={"repeated": True}) == made[1]
    assert (made[0].post_id, made[0].user_id) == (command.command_id, user)
    assert (made[0].prompt, made[0].platform, made[0].variants) == ("New espresso", "x", 2)
    assert made[0].requested_at == command.issued_at
    # Each knows who asked, so that each gets the result.
    requests = [dict(each.headers)["request-id"] for each in jobs]
    assert len(set(requests)) == 2
    assert {name for each in jobs for name, _ in each.headers} == {"request-id", "reply-partition"}


async def test_a_post_beyond_the_quota_fails_and_has_no_job(caller: Caller) -> None:
    user = f"user-{uuid4()}"
    await caller.ask(spend(user, (await caller.ask(show(user))).limit))
    command = spend(user, 1).model_copy(update={"post": PostOptions(prompt="New espresso")})
    refused = await caller.ask(command)
    assert refused.problem == "quota_exceeded"
    other = command.model_copy(update={"post": PostOptions(prompt="Another")})
    assert (await caller.ask(other)).problem == "conflict"
    mine = [
        each
        for name in ("generation-jobs", "generation-results")
        for each in await caller.messages(name)
        if each.key == user.encode()
    ]
    [result] = [GenerationResult.model_validate_json(each.value) for each in mine]
    assert (result.post_id, result.state, result.reason) == (
        command.command_id,
        "failed",
        "quota_exceeded",
    )
    assert (result.credits_charged, result.credits_refunded) == (0, 0)


async def test_what_is_no_command_becomes_a_dead_letter_and_stops_nothing(
    caller: Caller,
) -> None:
    user = f"user-{uuid4()}"
    good = spend(user)
    document = json.loads(good.model_dump_json())
    own = partition_for(user.encode(), USER_PARTITIONS)
    ahead = datetime.now(UTC) + timedelta(minutes=6)
    sent = {}
    messages: dict[str, dict[str, object]] = {
        "not_json": {"value": b"{"},
        "wrong_key": {"key": b"somebody else"},
        "unknown_kind": {"value": json.dumps({**document, "kind": "gift"}).encode()},
        "invalid_field": {"value": json.dumps({**document, "count": 0}).encode()},
        "wrong_partition": {"partition": (own + 1) % USER_PARTITIONS},
        "clock_ahead": {"value": spend(user, issued_at=ahead).model_dump_json().encode()},
    }
    for reason, message in messages.items():
        _, partition, offset = await caller.send(good, message)
        sent[partition.partition, offset] = reason
    _, partition, offset = await caller.send(good, {"value": None})
    sent[partition.partition, offset] = "not_json"

    assert (await caller.ask(good)).quota_used == 1
    letters: dict[tuple[int, int], DeadLetter] = {}

    async def all_there() -> bool:
        for each in await caller.messages("dead-letters"):
            letter = DeadLetter.model_validate_json(each.value)
            letters[letter.partition, letter.offset] = letter
        return sent.keys() <= letters.keys()

    await caller.until(all_there)
    assert {place: letters[place].reason for place in sent} == sent
    assert await caller.used(user) == 1


async def test_a_header_name_that_is_not_utf8_stops_nothing(worker: Worker, caller: Caller) -> None:
    user = f"user-{uuid4()}"
    key, partition = user.encode(), partition_for(user.encode(), USER_PARTITIONS)
    value = {count: spend(user, count).model_dump_json().encode() for count in (1, 2, 4)}
    request_id = uuid4()
    waits = [
        (REQUEST_ID_HEADER, request_id.bytes),
        (REPLY_PARTITION_HEADER, str(REPLY_PARTITION).encode()),
    ]
    await send_together(
        worker.weir.kafka,
        worker.weir.topic("quota-commands"),
        partition,
        [
            (key, value[1], []),
            (key, value[2], [UNREADABLE, *waits]),
            (key, b"{", [UNREADABLE]),
            (key, value[4], []),
        ],
    )
    # It is decided and answered as if it had no such header.
    assert (await caller.reply(request_id)).quota_used == 3
    assert await caller.used(user) == 7

    async def letters() -> list[DeadLetter]:
        found = [
            DeadLetter.model_validate_json(each.value)
            for each in await caller.messages("dead-letters")
        ]
        return [each for each in found if each.key == user]

    await caller.until(letters)
    [letter] = await letters()
    assert (letter.reason, letter.headers) == ("not_json", [(READ_AS, "of a producer in C")])
    assert all(each.running for each in worker.weir.processes)


async def test_health_and_readiness_are_answered(worker: Worker, caller: Caller) -> None:
    await caller.ask(show("anyone"))
    for path in ("healthz", "readyz"):
        async with worker.weir.session.get(f"http://127.0.0.1:{worker.port}/{path}") as answer:
            assert answer.status == 200, await answer.text()


async def test_a_second_worker_on_the_same_folder_says_what_to_do(
    worker: Worker, caller: Caller
) -> None:
    await caller.ask(show("anyone"))
    second = worker.weir.start_quotas()
    assert await asyncio.wait_for(second.wait(), 30) == 1
    assert "WEIR_QUOTAS_DIR" in "\n".join(second.last_lines())


async def test_a_worker_says_nothing_but_that_it_is_ready_and_ends_soon(
    worker: Worker, caller: Caller
) -> None:
    own = worker.weir.folder / "other"
    second = worker.weir.start_quotas({"WEIR_QUOTAS_DIR": str(own)})
    await worker.weir.eventually(lambda: _says(second, "worker ready"), process=second)
    async with asyncio.timeout(5):
        assert await second.stop(5) == 0
    events = [json.loads(line) for line in second.log.read_text().splitlines()]
    assert [each["event"] for each in events] == ["worker ready", "worker stopped"]
    # And the users that it had are the first one's again.
    assert (await caller.ask(show("anyone"))).quota_used == 0


async def _says(process: ManagedProcess, words: str) -> bool:
    return words in process.log.read_text()


async def test_what_a_transaction_took_back_is_not_decided_and_its_marks_stop_nothing(
    worker: Worker, caller: Caller
) -> None:
    user = f"user-{uuid4()}"
    key = user.encode()
    producer = AIOKafkaProducer(
        **worker.weir.kafka.client_arguments(), transactional_id=str(uuid4())
    )
    await producer.start()
    for ends_well in (True, False, True):
        await producer.begin_transaction()
        await producer.send_and_wait(
            worker.weir.topic("quota-commands"),
            spend(user, 2).model_dump_json().encode(),
            key,
            partition=partition_for(key, USER_PARTITIONS),
        )
        await (producer.commit_transaction() if ends_well else producer.abort_transaction())
    await producer.stop()
    assert (await caller.ask(spend(user, 1))).quota_used == 5


async def test_a_worker_that_waits_for_kafka_is_alive_and_not_ready(worker: Worker) -> None:
    port = free_port()
    environment = {
        "WEIR_QUOTAS_PORT": str(port),
        "WEIR_QUOTAS_DIR": str(worker.weir.folder / "waits"),
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
    }
    waiting = worker.weir.start_quotas(environment)

    async def says_what_for() -> bool:
        try:
            async with worker.weir.session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                document = await answer.json(content_type=None)
        except aiohttp.ClientError:
            return False
        return answer.status == 503 and "Kafka at" in document["not_ready"]["quotas"]

    await worker.weir.eventually(says_what_for, process=waiting)
    async with worker.weir.session.get(f"http://127.0.0.1:{port}/healthz") as answer:
        assert answer.status == 200
    assert await waiting.stop() == 0


async def test_a_forgotten_account_is_gone_from_changelog_and_disk_and_may_begin_anew(
    worker: Worker, caller: Caller
) -> None:
    user, other = users_of(2, 2)
    spends = [spend(user, 2) for _ in range(3)]
    for command in (*spends, spend(other, 5)):
        await caller.ask(command)
    forget = Forget(command_id=uuid4(), user_id=user, issued_at=datetime.now(UTC), reason="asked")
    # At once behind a spend that is still on its way.
    await caller.send(spend(user, 1), waits=False)
    _, _, offset = await caller.send(forget, waits=False)

    async def is_committed() -> bool:
        return (await caller.committed()).get(2, 0) > offset

    await caller.until(is_committed)
    newest = {each.key: each.value for each in await caller.messages("quota-accounts")}
    assert {key for key in newest if key.startswith(user.encode()) and newest[key]} == set()
    assert len([key for key in newest if key.startswith(user.encode())]) == 5
    assert await caller.used(other) == 5
    folder = worker.weir.folder / "data" / "quotas" / "tables"

    async def is_off_the_disk() -> bool:
        try:
            tables = [path.read_bytes() for path in folder.rglob("*.sst")]
        except FileNotFoundError:
            # It is being compacted.
            return False
        return bool(tables) and not any(user.encode() in table for table in tables)

    await caller.until(is_off_the_disk)
    # The same command is not known any more.
    answer = await caller.ask(spends[0])
    assert (answer.applied, answer.quota_used, answer.number) == (True, 2, 1)
    assert "forget" not in {each.reason for each in await caller.decisions(user)}
