"""Spends over HTTP as careful clients do: each again under its key until it is answered."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Final
from uuid import uuid4

import aiohttp
import jwt

from tests.weir import Json, Weir

PATIENCE: Final = 90.0
"""Seconds after which a spend that nobody answers is a failure."""

ATTEMPT: Final = 4.0


@dataclass(frozen=True)
class Answered:
    """A spend, what it was answered in the end and when (monotonic), and the seconds it took."""

    user: str
    key: str
    count: int
    status: int
    attempts: int
    at: float
    seconds: float


@dataclass
class QuotaLoad:
    """Callers that spend the credits of some users at several edges, as fast as they answer."""

    weir: Weir
    edges: Sequence[str]
    users: Sequence[str]
    seed: int
    answered: list[Answered] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._tokens = {user: token(self.weir, user) for user in self.users}

    async def run(self, callers: int, until: asyncio.Event) -> None:
        """Spends until the event is set; every spend that was begun is answered in the end."""
        timeout = aiohttp.ClientTimeout(total=ATTEMPT)
        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(self._spend_until(session, until))

    async def _spend_until(self, session: aiohttp.ClientSession, until: asyncio.Event) -> None:
        while not until.is_set():
            user = self._random.choice(self.users)
            await self._spend(session, user, uuid4().hex, self._random.randint(1, 3))

    async def _spend(self, session: aiohttp.ClientSession, user: str, key: str, count: int) -> None:
        began = monotonic()
        attempts = 0
        while True:
            attempts += 1
            status = await self._attempt(session, user, key, count)
            if status in {200, 403}:
                now = monotonic()
                self.answered.append(Answered(user, key, count, status, attempts, now, now - began))
                return
            assert status in {0, 503}, status
            assert monotonic() - began < PATIENCE, f"{user} waits for {key} since {PATIENCE} s"
            await asyncio.sleep(0.05)

    async def _attempt(
        self, session: aiohttp.ClientSession, user: str, key: str, count: int
    ) -> int:
        """The status of the answer, 0 when there was none."""
        try:
            async with session.post(
                f"{self._random.choice(self.edges)}/api/user/plan",
                json={"count": count},
                headers={
                    "Authorization": f"Bearer {self._tokens[user]}",
                    "Idempotency-Key": key,
                },
            ) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0

    def charged(self) -> Counter[str]:
        """User → credits of all spends that were answered 200."""
        charged: Counter[str] = Counter(dict.fromkeys(self.users, 0))
        for each in self.answered:
            if each.status == 200:
                charged[each.user] += each.count
        return charged

    async def plan(self, user: str) -> Json:
        """What the user's plan says, as soon as a worker can say it."""
        found: list[Json] = []

        async def said() -> bool:
            async with self.weir.session.get(
                f"{self.edges[0]}/api/user/plan",
                headers={"Authorization": f"Bearer {self._tokens[user]}"},
            ) as answer:
                found.append(await answer.json(content_type=None))
                assert answer.status in {200, 503}, found
                return answer.status == 200

        await self.weir.eventually(said, within=PATIENCE)
        return found[-1]

    async def differences(self) -> list[str]:
        """Where what was answered, the table and its limit do not agree; empty when they do."""
        found = []
        for user, charged in self.charged().items():
            plan = await self.plan(user)
            if plan["quota_used"] != charged:
                found.append(f"{user}: {charged} answered 200, {plan['quota_used']} in the table")
            if plan["quota_used"] > plan["limit"]:
                found.append(f"{user}: {plan['quota_used']} used of {plan['limit']}")
        return found

    async def ledger_differences(self) -> list[str]:
        """Where the ledger in ClickHouse and what was answered do not agree."""
        rows = await asyncio.to_thread(
            self.weir.query,
            "SELECT user_id, sum(change), count(), uniqExact(command_id), uniqExact(number), "
            "max(number) - min(number) + 1 "
            "FROM quota_decisions WHERE applied AND kind = 'spend' GROUP BY user_id",
        )
        ledger = {row[0]: row[1:] for row in rows}
        spends = Counter(each.user for each in self.answered if each.status == 200)
        found = []
        for user, charged in self.charged().items():
            spent, *counts = ledger.get(user, (0, 0, 0, 0, 0))
            if spent != charged or set(counts) != {spends[user]}:
                found.append(
                    f"{user}: {charged} in {spends[user]} spends answered, ledger has {spent} "
                    f"in {counts}"
                )
        return found

    def shown(self) -> str:
        """In a line: how many, how long."""
        times = sorted(each.seconds for each in self.answered)
        again = sum(each.attempts > 1 for each in self.answered)
        return (
            f"{len(times)} answered, {again} of them after a retry; "
            f"p50 {times[len(times) // 2] * 1000:.0f} ms, "
            f"p99 {times[len(times) * 99 // 100] * 1000:.0f} ms, slowest {times[-1]:.1f} s"
        )


def token(weir: Weir, user: str) -> str:
    """A token of a user that the test's Weir takes."""
    return jwt.encode(
        {"sub": user, "exp": datetime.now(UTC) + timedelta(hours=1)},
        weir.environment["WEIR_JWT_SECRET"],
        algorithm="HS256",
    )
