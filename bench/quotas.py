"""Quota decisions: a worker draining a backlog, and one spend after another over HTTP."""

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from uuid import uuid4

import jwt

from bench.draining import rate, written
from bench.postgres import charges_a_second, postgres
from deploy.local.ports import free_port
from schemas.quotas import Spend
from schemas.topics import QUOTA_COMMANDS, QUOTA_DECISIONS
from tests.weir import Weir

USERS = 500
BACKLOG = 30_000
PLANS = """
version = 1
default = "pro"

[plans.pro]
title = "Pro"
limit = 1_000_000
unlocks = []
"""
WARM_UP = 100
SAMPLES = 1_000
ASKED_RATE = 2_000
ASKED_P50 = 12
ASKED_P99 = 40


async def decisions(weir: Weir, folder: Path, say: Callable[[str], None]) -> None:
    """(i) decisions a second of one worker, and latency of a spend, each beside PostgreSQL."""
    chance = random.Random(1)
    users = [f"u-{number}" for number in range(USERS)]
    asking = [chance.choice(users) for _ in range(BACKLOG)]
    plans = folder / "plans.toml"
    plans.write_text(PLANS)
    weir.environment["WEIR_PLANS_FILE"] = str(plans)
    async with postgres(folder, users) as address:
        decided = await _drained(weir, asking)
        theirs = await charges_a_second(address, asking)
        say(
            f"(i) quota decisions of one worker draining {BACKLOG:,} commands: {decided:,.0f}/s "
            f"(asked: at least {ASKED_RATE:,})"
        )
        say(f"    UPDATE … WHERE used + n <= limit in PostgreSQL: {theirs:,.0f}/s")
        api = await weir.start_api()
        ours = await _spends(
            weir, users, lambda user: {"Authorization": f"Bearer {_token(weir, user)}"}
        )
        await api.stop()
        port = free_port()
        weir.url = f"http://127.0.0.1:{port}"
        endpoint = weir.process(
            ["-m", "bench.postgres_endpoint"],
            {"WEIR_API_PORT": str(port), "BENCH_POSTGRES": address},
        )
        await weir.eventually(weir.api_ready, process=endpoint)
        against = await _spends(weir, users, lambda user: {"X-User": user})
        await endpoint.stop()
    say(
        f"    POST /api/user/plan, one after another: p50 {ours[0]:.1f} ms, p99 {ours[1]:.1f} ms "
        f"(asked: at most {ASKED_P50} and {ASKED_P99})"
    )
    say(f"    the same over PostgreSQL: p50 {against[0]:.1f} ms, p99 {against[1]:.1f} ms")


async def _drained(weir: Weir, users: list[str]) -> float:
    """Decisions a second from the first to the last, by the broker's times of the decisions."""
    await weir.produce(
        QUOTA_COMMANDS.name,
        [
            (
                user.encode(),
                Spend(
                    command_id=uuid4(),
                    user_id=user,
                    issued_at=datetime.now(UTC),
                    reason="bench",
                    count=1,
                )
                .model_dump_json()
                .encode(),
            )
            for user in users
        ],
    )
    return rate(await written(weir, QUOTA_DECISIONS, len(users), weir.start_quotas))


def _token(weir: Weir, user: str) -> str:
    return jwt.encode(
        {"sub": user, "exp": datetime.now(UTC) + timedelta(hours=1)},
        weir.environment["WEIR_JWT_SECRET"],
        algorithm="HS256",
    )


async def _spends(
    weir: Weir, users: list[str], who: Callable[[str], Mapping[str, str]]
) -> tuple[float, float]:
    """p50 and p99 in ms of one spend after another, each by another user."""
    took = []
    for number in range(WARM_UP + SAMPLES):
        user = users[number % len(users)]
        headers = who(user)
        began = perf_counter()
        async with weir.session.post(
            f"{weir.url}/api/user/plan", json={"count": 1}, headers=headers
        ) as answer:
            if answer.status != 200:
                raise RuntimeError(await answer.text())
            await answer.read()
        if number >= WARM_UP:
            took.append((perf_counter() - began) * 1000)
    took.sort()
    return took[len(took) // 2], took[len(took) * 99 // 100]
