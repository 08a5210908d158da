"""Each event once, whatever is killed; and each safeguard is needed for it."""

import asyncio
import os
import signal
from functools import partial
from pathlib import Path
from random import Random

import pytest

from deploy.local.managed_process import ManagedProcess
from deploy.topics import create_topics
from tests.load import Load, send, stored_exactly
from tests.secure_services import secure_services
from tests.weir import Weir, all_taken, throwaway_weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]

KILLS = 12
SMALL_BATCHES = {
    "WEIR_SINK_BATCH_ROWS": "400",
    "WEIR_SINK_LINGER": "0.02",
    "WEIR_SINK_SESSION_TIMEOUT": "1",
}
SABOTAGED = str(Path(__file__).parents[1] / "streams" / "sink" / "sabotaged_sink.py")


async def stored_more_than(weir: Weir, before: int) -> bool:
    [(rows,)] = await asyncio.to_thread(weir.query, "SELECT count() FROM events")
    return int(rows) > before


async def finish(weir: Weir, load: Load, *sinks: ManagedProcess) -> None:
    await weir.eventually(partial(all_taken, weir), within=90, process=sinks[-1])
    assert stored_exactly(weir, load) == []


async def test_a_sink_killed_at_random_moments_stores_each_event_once(weir: Weir) -> None:
    load = Load(seed=1)
    chance = Random(2)
    for _ in range(KILLS):
        await send(weir, load.messages(4_000))
        [(rows,)] = weir.query("SELECT count() FROM events")
        sink = weir.start_sink(SMALL_BATCHES)
        moment = rows + chance.randrange(2_500)
        await weir.eventually(partial(stored_more_than, weir, moment), process=sink)
        sink.kill()
        await sink.wait()
    await send(weir, load.messages(1_000))
    await finish(weir, load, weir.start_sink(SMALL_BATCHES))


async def test_two_sinks_share_partitions_and_one_comes_and_goes_under_load(weir: Weir) -> None:
    load = Load(seed=3)
    steady = weir.start_sink(SMALL_BATCHES)
    for turn in range(6):
        guest = weir.start_sink(SMALL_BATCHES)
        await weir.eventually(partial(says, guest, "sink ready"), process=guest)
        await send(weir, load.messages(4_000))
        if turn % 2:
            guest.kill()
            await guest.wait()
        else:
            assert await guest.stop(15) == 0
        await send(weir, load.messages(500))
    await finish(weir, load, steady)


async def says(process: ManagedProcess, text: str, times: int = 1) -> bool:
    """Whether the process has logged so."""
    return process.log.exists() and process.log.read_text().count(text) >= times


def freeze(process: ManagedProcess) -> None:
    os.killpg(process.pid, signal.SIGSTOP)


def thaw(process: ManagedProcess) -> None:
    os.killpg(process.pid, signal.SIGCONT)


async def test_a_frozen_sink_that_wakes_up_changes_nothing(weir: Weir) -> None:
    load = Load(seed=4)
    frozen = weir.start_sink(SMALL_BATCHES)
    await weir.eventually(partial(says, frozen, "sink ready"), process=frozen)
    await send(weir, load.messages(8_000))
    await weir.eventually(partial(stored_more_than, weir, 0), process=frozen)
    freeze(frozen)
    other = weir.start_sink(SMALL_BATCHES)
    await send(weir, load.messages(2_000))
    await weir.eventually(partial(all_taken, weir), within=60, process=other)
    assigned = frozen.log.read_text().count("partitions assigned")
    thaw(frozen)
    await weir.eventually(partial(says, frozen, "partitions assigned", assigned + 1))
    await send(weir, load.messages(2_000))
    await finish(weir, load, other, frozen)


async def test_clickhouse_killed_at_random_moments_loses_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    chance = Random(5)
    async with secure_services(tmp_path) as own, throwaway_weir(own, tmp_path) as weir:
        load = Load(seed=6)
        sink = weir.start_sink(SMALL_BATCHES)
        for _ in range(KILLS):
            [(rows,)] = weir.query("SELECT count() FROM events")
            await send(weir, load.messages(3_000))
            moment = rows + chance.randrange(2_000)
            await weir.eventually(partial(stored_more_than, weir, moment), process=sink)
            await own.clickhouse.kill()
            await own.clickhouse.start()
        await finish(weir, load, sink)


async def test_kafka_killed_at_random_moments_loses_and_doubles_nothing(tmp_path: Path) -> None:
    chance = Random(7)
    async with secure_services(tmp_path) as own, throwaway_weir(own, tmp_path) as weir:
        sink = weir.start_sink(SMALL_BATCHES)
        api = await weir.start_api({"WEIR_PUBLISH_TIMEOUT": "1"})
        load = Load(seed=8)
        acknowledged: list[int] = []
        sending = asyncio.create_task(send_over_http(weir, load, 400, acknowledged))
        for turn in range(1, 11):
            moment = turn * 36 + chance.randrange(30)
            await weir.eventually(partial(reached, acknowledged, moment), process=api)
            await own.kafka.kill()
            await own.kafka.start()
        await sending
        assert api.running
        await finish(weir, load, sink)


async def reached(counted: list[int], goal: int) -> bool:
    return len(counted) >= goal


async def send_over_http(weir: Weir, load: Load, batches: int, acknowledged: list[int]) -> None:
    """Sends events over HTTP, each batch again until it is acknowledged, as a client should."""
    for number in range(batches):
        messages = load.messages(40)
        body = f"[{','.join(value.decode() for _, key, value in messages if key != b'poison')}]"

        async def taken(body: str = body) -> bool:
            async with weir.session.post(
                f"{weir.url}/analytics/events",
                data=body,
                headers={"Content-Type": "application/json"},
            ) as answer:
                assert answer.status in {202, 503}, await answer.text()
                return answer.status == 202

        await weir.eventually(taken, within=120)
        acknowledged.append(number)
    # The edge lets no poison in.
    load.poison = 0


@pytest.mark.parametrize(
    ("killed", "sabotage"),
    [("after_insert", "no_token"), ("before_insert", "commit_before_insert")],
)
async def test_without_a_safeguard_a_kill_is_seen(weir: Weir, killed: str, sabotage: str) -> None:
    """Kills the sink at the one moment that the safeguard is for, with it and without."""
    load = Load(seed=9)
    await send(weir, load.messages(1_000))
    # With every safeguard: killed at that moment again and again, and still exact.
    for _ in range(3):
        victim = weir.process([SABOTAGED], {**SMALL_BATCHES, "KILLED": killed})
        await victim.wait()
        assert victim.returncode == -9, victim.last_lines()
    await finish(weir, load, last := weir.start_sink(SMALL_BATCHES))
    assert await last.stop(15) == 0

    await send(weir, load.messages(1_000))
    victim = weir.process([SABOTAGED], {**SMALL_BATCHES, "KILLED": killed, "SABOTAGE": sabotage})
    await victim.wait()
    assert victim.returncode == -9, victim.last_lines()
    sink = weir.process([SABOTAGED], {**SMALL_BATCHES, "SABOTAGE": sabotage})
    await weir.eventually(partial(all_taken, weir), process=sink)
    differences = stored_exactly(weir, load)
    assert any("raw events" in each for each in differences), differences
    assert any("rollup" in each for each in differences), differences


async def test_without_the_window_of_known_ids_copies_are_counted(weir: Weir) -> None:
    load = Load(seed=10)
    sink = weir.process([SABOTAGED], {**SMALL_BATCHES, "SABOTAGE": "no_known_ids"})
    for _ in range(2):
        await send(weir, load.messages(1_000))
        await weir.eventually(partial(all_taken, weir), process=sink)
    assert any("raw events" in each for each in stored_exactly(weir, load))


async def test_topics_made_anew_beside_old_tables_lose_and_double_nothing(weir: Weir) -> None:
    load = Load(seed=11)
    await send(weir, load.messages(2_000))
    await finish(weir, load, sink := weir.start_sink(SMALL_BATCHES))
    assert await sink.stop(15) == 0
    await weir.drop_topics()
    await create_topics(weir.kafka, lambda _: None)
    # Offsets begin at 0 again, and the group's are gone; copies of old events come along.
    await send(weir, load.messages(2_000))
    await finish(weir, load, weir.start_sink(SMALL_BATCHES))


async def test_a_group_that_begins_again_doubles_nothing(weir: Weir) -> None:
    load = Load(seed=12)
    await send(weir, load.messages(2_000))
    await finish(weir, load, sink := weir.start_sink(SMALL_BATCHES))
    assert await sink.stop(15) == 0
    weir.environment["WEIR_SINK_GROUP"] += "-renamed"
    await send(weir, load.messages(500))
    await finish(weir, load, weir.start_sink(SMALL_BATCHES))
