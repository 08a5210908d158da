"""The quotas worker killed, frozen, robbed of its disk: every command counts once all the same."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.structs import ConsumerRecord

from deploy.local.managed_process import ManagedProcess
from schemas.partitioning import partition_for
from schemas.topics import USER_PARTITIONS
from streams.group.places import place_of
from streams.quotas.stored import account_key, read_account
from tests.services import Services
from tests.streams.quotas.caller import Caller, calling, spend, users_of
from tests.weir import Weir, throwaway_weir

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]

SESSION = {"WEIR_QUOTAS_SESSION_TIMEOUT": "2"}
START_AGAIN = 75


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def quotas(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Weir]:
    """Topics for all tests of this module; each starts its workers, and has users of its own."""
    async with throwaway_weir(services, tmp_path_factory.mktemp("quotas")) as weir:
        yield weir


@pytest_asyncio.fixture(loop_scope="session")
async def caller(quotas: Weir) -> AsyncIterator[Caller]:
    async with calling(quotas) as caller:
        yield caller
    await asyncio.gather(*(each.stop() for each in quotas.processes))


def start(weir: Weir, folder: str = "one") -> ManagedProcess:
    return weir.start_quotas({**SESSION, "WEIR_QUOTAS_DIR": str(weir.folder / folder)})


def start_sabotaged(weir: Weir, folder: str = "one", **sabotage: str) -> ManagedProcess:
    return weir.process(
        ["-m", "tests.streams.quotas.sabotaged_worker"],
        {**SESSION, "WEIR_QUOTAS_DIR": str(weir.folder / folder), **sabotage},
    )


def a_user(partition: int = 0) -> str:
    return users_of(partition, 1)[0]


async def account_records(caller: Caller, user: str) -> list[ConsumerRecord]:
    return [
        each for each in await caller.messages("quota-accounts") if each.key == account_key(user)
    ]


@pytest.mark.parametrize(
    "moment",
    [
        "within_the_change",
        "before_the_local_write",
        "after_the_change",
        "before_the_acknowledgement",
    ],
)
async def test_a_command_counts_once_when_the_worker_is_killed(
    quotas: Weir, caller: Caller, moment: str
) -> None:
    user, other = users_of(0, 2)
    worker = start_sabotaged(quotas, STOPPED=moment)
    await caller.ask(spend(user, 2))
    fatal = spend(user, 3, reason="here")
    request_id, *_ = await caller.send(fatal)
    waiting, *_ = await caller.send(spend(other, 5))
    assert await asyncio.wait_for(worker.wait(), 60) == -signal.SIGKILL

    start(quotas)
    answer = await caller.reply(request_id)
    assert (answer.applied, answer.quota_used) == (True, 5)
    assert (await caller.reply(waiting)).quota_used == 5
    # What it remembers is complete too: the same command again charges nothing.
    assert await caller.ask(fatal) == answer
    assert await caller.used(user) == 5
    lines = {each.decision_id: each for each in await caller.decisions(user)}
    assert sum(each.change for each in lines.values()) == 5


async def test_without_deduplication_the_killed_workers_command_counts_twice(
    quotas: Weir, caller: Caller
) -> None:
    user = a_user()
    worker = start_sabotaged(quotas, STOPPED="before_the_acknowledgement")
    await caller.send(spend(user, 3, reason="here"))
    await asyncio.wait_for(worker.wait(), 60)
    start_sabotaged(quotas, SABOTAGE="no_deduplication")
    assert await caller.used(user) == 6


async def test_without_its_memory_a_command_that_is_sent_twice_counts_twice(
    quotas: Weir, caller: Caller
) -> None:
    user = a_user()
    start_sabotaged(quotas, SABOTAGE="no_memory")
    command = spend(user, 3)
    assert [(await caller.ask(command)).quota_used for _ in range(2)] == [3, 6]


async def test_a_command_that_is_acknowledged_before_it_is_confirmed_is_lost(
    quotas: Weir, caller: Caller
) -> None:
    user = a_user(2)
    worker = start_sabotaged(quotas, STOPPED="held", SABOTAGE="no_confirmation")
    request_id, place, offset = await caller.send(spend(user, 3, reason="here"))

    async def is_committed() -> bool:
        return (await caller.committed()).get(place.partition) == offset + 1

    await caller.until(is_committed)
    worker.kill()
    await worker.wait()
    start(quotas)
    assert await caller.used(user) == 0
    assert request_id not in caller.replies
    assert await caller.decisions(user) == []


async def test_without_the_outbox_the_ledger_lacks_what_the_account_has(
    quotas: Weir, caller: Caller
) -> None:
    user = a_user()
    worker = start_sabotaged(quotas, STOPPED="after_the_change", SABOTAGE="no_outbox")
    await caller.send(spend(user, 3, reason="here"))
    await asyncio.wait_for(worker.wait(), 60)
    start(quotas)
    assert await caller.used(user) == 3
    assert await caller.decisions(user) == []


async def test_a_refused_command_that_is_applied_after_all_stands_in_the_ledger(
    quotas: Weir, caller: Caller
) -> None:
    user = a_user()
    worker = start_sabotaged(quotas, STOPPED="before_the_acknowledgement")
    await caller.send(spend(user, 101, reason="here", repeatable=False))
    await asyncio.wait_for(worker.wait(), 60)
    larger = quotas.folder / "larger.toml"
    larger.write_text('version = 2\ndefault = "free"\n[plans.free]\ntitle = "Free"\nlimit = 200\n')
    start_sabotaged(quotas, WEIR_PLANS_FILE=str(larger))
    assert await caller.used(user) == 101
    lines: dict[UUID, int] = {}
    for each in await caller.decisions(user):
        # As the sink does: of one id the first counts.
        lines.setdefault(each.decision_id, each.change)
    assert sum(lines.values()) == 101


async def test_what_is_not_confirmed_is_not_committed_though_later_commands_are_there(
    quotas: Weir, caller: Caller
) -> None:
    user = a_user(1)
    worker = start_sabotaged(quotas, STOPPED="held")
    for _ in range(5):
        await caller.ask(spend(user))
    _, _, held = await caller.send(spend(user, reason="here"))
    others = [await caller.send(spend(user)) for _ in range(14)]
    elsewhere = a_user(2)
    _, _, last = await caller.send(spend(elsewhere))
    # Other partitions are committed meanwhile, and so is all before the one that is held.

    async def committed_elsewhere() -> bool:
        offsets = await caller.committed()
        return offsets.get(2) == last + 1 and offsets.get(1) == held

    await caller.until(committed_elsewhere)
    worker.kill()
    await worker.wait()
    assert (await caller.committed())[1] == held

    start(quotas)
    answers = [await caller.reply(request_id) for request_id, *_ in others]
    assert [each.quota_used for each in answers] == list(range(7, 21))


async def test_a_worker_without_its_disk_reads_the_accounts_anew(
    quotas: Weir, caller: Caller
) -> None:
    users = [a_user(each) for each in range(USER_PARTITIONS)]
    worker = start(quotas)
    commands = [spend(user, 4) for user in users]
    answers = [await caller.ask(command) for command in commands]
    worker.kill()
    await worker.wait()
    shutil.rmtree(quotas.folder / "one")

    start(quotas)
    assert [await caller.used(user) for user in users] == [4] * USER_PARTITIONS
    assert [await caller.ask(command) for command in commands] == answers


async def test_another_takes_over_what_a_killed_worker_had(quotas: Weir, caller: Caller) -> None:
    users = [a_user(each) for each in range(USER_PARTITIONS)]
    first = start(quotas)
    for user in users:
        await caller.ask(spend(user, 1))
    start(quotas, "two")
    for user in users:
        await caller.ask(spend(user, 2))
    first.kill()
    await first.wait()
    assert [(await caller.ask(spend(user, 4))).quota_used for user in users] == [7] * len(users)


async def rewrite(weir: Weir, caller: Caller, user: str) -> None:
    """Writes the user's first account again, as a worker would that was frozen since."""
    old = (await account_records(caller, user))[0]
    producer = AIOKafkaProducer(**weir.kafka.client_arguments())
    await producer.start()
    await producer.send_and_wait(
        weir.topic("quota-accounts"), old.value, old.key, partition=old.partition
    )
    await producer.stop()


@pytest.mark.parametrize("sabotage", ["", "no_merge"])
async def test_an_old_account_that_is_written_late_replaces_no_newer_one(
    quotas: Weir, caller: Caller, sabotage: str
) -> None:
    user = a_user(3)
    worker = start(quotas)
    await caller.ask(spend(user, 1))
    await caller.ask(spend(user, 2))
    assert await worker.stop() == 0
    await rewrite(quotas, caller, user)
    shutil.rmtree(quotas.folder / "one")

    if sabotage:
        start_sabotaged(quotas, SABOTAGE=sabotage)
        assert await caller.used(user) == 1
        return
    start(quotas)
    assert await caller.used(user) == 3

    async def is_written_again() -> bool:
        last = (await account_records(caller, user))[-1]
        return read_account(last.value).used == 3

    # So that the newer one is the last too, which is the one that compaction keeps.
    await caller.until(is_written_again)


async def test_a_worker_ends_before_it_answers_when_another_writes_to_its_changelog(
    quotas: Weir, caller: Caller
) -> None:
    user = a_user(3)
    worker = start(quotas)
    await caller.ask(spend(user, 1))
    await caller.ask(spend(user, 1))
    await rewrite(quotas, caller, user)
    request_id, *_ = await caller.send(spend(user, 1))
    assert await asyncio.wait_for(worker.wait(), 60) == START_AGAIN
    assert "another worker wrote to it" in "\n".join(worker.last_lines())
    assert request_id not in caller.replies

    start(quotas)
    assert (await caller.reply(request_id)).quota_used == 3


@pytest.mark.parametrize("sabotage", ["", "no_fence"])
async def test_a_worker_that_was_frozen_for_longer_than_a_session_writes_nothing_any_more(
    quotas: Weir, caller: Caller, sabotage: str
) -> None:
    user = a_user(0)
    first = start_sabotaged(quotas, STOPPED="frozen", SABOTAGE=sabotage)
    await caller.ask(spend(user, 1))
    request_id, *_ = await caller.send(spend(user, 2, reason="here"))
    start(quotas, "two")
    assert (await caller.reply(request_id)).quota_used == 3
    assert (await caller.ask(spend(user, 4))).quota_used == 7
    os.kill(first.pid, signal.SIGCONT)

    async def is_unsorted() -> bool:
        places = [place_of(each.value).offset for each in await account_records(caller, user)]
        return places != sorted(places)

    if sabotage:
        # It writes what was true when it was frozen.
        await caller.until(is_unsorted)
        return
    assert await asyncio.wait_for(first.wait(), 60) == START_AGAIN
    assert "no heartbeat" in "\n".join(first.last_lines())
    assert not await is_unsorted()
    assert await caller.used(user) == 7


async def test_topics_that_were_made_anew_begin_with_nothing(
    services: Services, quotas: Weir, caller: Caller
) -> None:
    user = a_user(partition_for(b"x", USER_PARTITIONS))
    worker = start(quotas)
    await caller.ask(spend(user, 9))
    assert await worker.stop() == 0
    await quotas.drop_topics()
    await quotas.prepare()
    again = start(quotas)
    async with calling(quotas) as anew:
        assert await anew.used(user) == 0
        assert (await anew.ask(spend(user, 1))).quota_used == 1
    assert "copy of another changelog" in again.log.read_text()
