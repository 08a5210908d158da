"""Conversions and Stripe's total under faults and kills: every customer exact, a replay silent."""

import asyncio
import os
import random
import shutil
import signal
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from schemas.topics import CONVERSIONS, USAGE_COMMANDS
from streams.group.process import EX_TEMPFAIL
from tests.services import Services
from tests.streams.billing.stage import Stage, a_conversion, customers, staged
from tests.weir import Kept, Weir, lag_of

pytestmark = [pytest.mark.services, pytest.mark.timeout(280)]

CONVERTED: Final = 5_000
CUSTOMERS: Final = 50
KILLS: Final = 3
# A second's Retry-After, which all wait for, is in tests/streams/billing.
FAULTS: Final = {
    "rate": 0.1,
    "seed": 7,
    "kinds": ["429", "429-after-0", "500", "lost", "cut", "slow"],
}


async def test_faults_and_kills_leave_every_customer_exact_and_a_replay_sends_nothing(
    services: Services, tmp_path: Path
) -> None:
    chance = random.Random(7)
    async with staged(services, tmp_path, workers=0) as stage:
        await stage.tell("faults", FAULTS)
        workers = await kept_workers(stage)
        expected: Counter[str] = Counter()
        conversions = []
        for number in range(CONVERTED):
            customer = customers(CUSTOMERS)[number % CUSTOMERS]
            value = chance.randrange(1, 10)
            expected[customer] += value
            # Some are users' of whom the event names the customer, so that keys differ.
            user = f"user-{number % 7}" if number % 3 == 0 else None
            conversions.append(a_conversion(customer=customer, user=user, value=value))
        await stage.convert(*conversions)
        for number in range(1, KILLS + 1):
            await stage.weir.eventually(
                partial(counted_at_least, stage, CONVERTED * number // 5), within=120
            )
            workers[number % 2].kill()
        await stage.weir.eventually(partial(stage.has_counted, expected), within=180)
        await stage.weir.eventually(partial(all_sent, stage), within=60)
        state = await stage.state()
        assert state["wrong"] == []
        assert state["overlaps"] == 0
        assert state["counted"] == CONVERTED

        # A week later: Stripe has forgotten what it was told, and everything comes again, to
        # workers that have lost their copies of the ledger.
        for each in workers:
            await each.stop()
        await stage.tell("forget-identifiers", {})
        await begin_again(stage.weir)
        for number in range(2):
            shutil.rmtree(stage.weir.folder / f"billing-{number}")
        calls = (await stage.state())["calls"]
        # Not of any use that was reported.
        last = a_conversion(customer="cus_last", value=1)
        await stage.convert(last)
        expected["cus_last"] += 1
        await kept_workers(stage)
        await stage.weir.eventually(partial(stage.has_counted, expected), within=120)
        await stage.weir.eventually(partial(all_read, stage.weir), within=120)
        state = await stage.state()
        assert state["counted"] == CONVERTED + 1
        # Those of the last one alone, with what faults made of it.
        assert state["calls"] - calls <= 1 + 8
        assert await stage.totals() == expected


async def test_a_frozen_worker_that_wakes_up_counts_nothing_again(
    services: Services, tmp_path: Path
) -> None:
    async with staged(services, tmp_path, delay=0.02, workers=0) as stage:
        await kept_workers(stage)
        frozen = stage.weir.processes[-1]
        expected = dict.fromkeys(customers(CUSTOMERS), 20)
        await stage.convert(
            *(a_conversion(customer=customer) for customer in [*customers(CUSTOMERS)] * 20)
        )
        await stage.weir.eventually(partial(counted_at_least, stage, 100))
        os.killpg(frozen.pid, signal.SIGSTOP)
        # The other one takes its customers over.
        await stage.weir.eventually(partial(stage.has_counted, expected), within=90)
        os.killpg(frozen.pid, signal.SIGCONT)
        # It has lost its place, says so, and starts anew; so does the other when it still wrote.
        assert await asyncio.wait_for(frozen.wait(), 30) == EX_TEMPFAIL
        more = dict.fromkeys(expected, 1)
        await stage.convert(*(a_conversion(customer=customer) for customer in more))
        expected = {customer: units + 1 for customer, units in expected.items()}
        await stage.weir.eventually(partial(stage.has_counted, expected))
        state = await stage.state()
        assert (state["wrong"], state["overlaps"]) == ([], 0)


async def counted_at_least(stage: Stage, least: int) -> bool:
    return bool((await stage.state())["counted"] >= least)


async def all_sent(stage: Stage) -> bool:
    states = Counter((await stage.states()).values())
    return states == {"sent": CONVERTED}


async def kept_workers(stage: Stage) -> list[Kept]:
    """Two, of which each has its folder."""
    return [
        await stage.weir.keep(partial(stage.start, folder=f"billing-{number}"))
        for number in range(2)
    ]


async def begin_again(weir: Weir) -> None:
    """The group reads conversions from their beginning, once Kafka takes it for empty."""
    consumer = AIOKafkaConsumer(
        **weir.kafka.client_arguments(),
        group_id=weir.environment["WEIR_BILLING_GROUP"],
        enable_auto_commit=False,
    )
    await consumer.start()
    places = [
        TopicPartition(weir.topic(CONVERSIONS.name), number)
        for number in range(CONVERSIONS.partitions)
    ]
    consumer.assign(places)

    async def committed() -> bool:
        try:
            await consumer.commit(dict.fromkeys(places, 0))
        except KafkaError:
            return False
        return True

    try:
        await weir.eventually(committed)
    finally:
        await consumer.stop()


async def all_read(weir: Weir) -> bool:
    """Whether the group has done all there is."""
    topics = (CONVERSIONS, USAGE_COMMANDS)
    return await lag_of(weir, weir.environment["WEIR_BILLING_GROUP"], topics) == 0
