"""Many posts of many users on two workers, whole and while they are killed: all end, once."""

import os
import random
import signal
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from schemas.quotas import QuotaDecision
from tests.services import Services
from tests.streams.social.stage import POSTS, a_request, ideal, staged
from tests.weir import Json, throwaway_weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(280)]

KILLS: Final = 3
REFUSED: Final = "[refusal] [always]"


async def test_posts_of_many_users_are_made_side_by_side(
    services: Services, tmp_path: Path
) -> None:
    # `make bench ARGS=m` measures more in flight, on a machine that does nothing else.
    in_flight = 10
    async with throwaway_weir(services, tmp_path) as weir:
        stage = await staged(weir, in_flight)
        seconds = await stage.seconds()
        least = ideal(in_flight)
        assert seconds <= 1.5 * least, f"{seconds:.2f} s of {least:.2f} s"
        calls = await stage.calls()
        assert calls["wrong"] == []
        assert set(calls["begun"].values()) == {1}


async def test_killed_workers_finish_every_post_and_repeat_none(
    services: Services, tmp_path: Path
) -> None:
    chance = random.Random(6)
    async with throwaway_weir(services, tmp_path) as weir:
        stage = await staged(weir, in_flight=20)
        requests = [
            a_request(number, REFUSED if number % 7 == 0 else "") for number in range(POSTS)
        ]
        await stage.stream.ask(*requests)
        finished: dict[str, int] = {}
        for number in range(1, KILLS + 1):
            least = POSTS * number // 5 + chance.randrange(POSTS // 10)
            await stage.weir.eventually(partial(stage.has_ended, least))
            victim = number % 2
            os.killpg(stage.workers[victim].pid, signal.SIGKILL)
            # What is decided now must not be asked for again. Its calls are counted after that: the
            # other worker goes on, and what has a result has made all of its calls.
            ended = await stage.ended()
            calls = await stage.calls()
            prompts = {str(each.post_id): each.prompt for each in requests}
            for post_id in ended:
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
