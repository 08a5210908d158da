"""Social posts: what the stream adds to a post of the stub, and how many it makes a second."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from time import perf_counter
from uuid import uuid4

import orjson
import structlog
from pydantic import SecretStr

from bench.draining import rate, written
from deploy.local.managed_process import ManagedProcess
from schemas.generation import GenerationJob, GenerationRequest
from schemas.topics import GENERATION_REQUESTS, GENERATION_RESULTS
from streams.social.generator import Generator, opened_generator
from streams.social.generator_settings import GeneratorSettings
from tests.weir import Weir

USERS = 100
BACKLOG = 1_000
PLANS = """
version = 1
default = "pro"

[plans.pro]
title = "Pro"
limit = 1_000_000
unlocks = []
"""
WARM_UP = 20
SAMPLES = 300
ASKED_ADDED_P50 = 40


async def posts(weir: Weir, folder: Path, say: Callable[[str], None]) -> None:
    """(j) posts of the stub, without a delay: a backlog, and one after another beside the stub."""
    plans = folder / "plans.toml"
    plans.write_text(PLANS)
    weir.environment |= {
        "WEIR_PLANS_FILE": str(plans),
        "WEIR_MEDIA_URL": (folder / "media").absolute().as_uri(),
        "OPENAI_USE_STUB": "1",
        "WEIR_STUB_DELAY": "0",
    }
    weir.start_quotas()
    api = await weir.start_api()
    await weir.eventually(weir.decides, within=120, process=api)
    made = await _drained(weir)
    say(f"(j) posts of the stub from a backlog of {BACKLOG:,} requests, one worker: {made:,.1f}/s")

    # A line for each post, between the figures.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    settings = GeneratorSettings(
        api_key=SecretStr(""),
        use_stub=True,
        media_url=(folder / "media-of-direct-calls").absolute().as_uri(),
        stub_delay=0,
        stub_failures=0,
    )
    async with opened_generator(settings, lambda: datetime.now(UTC)) as generator:
        ours, direct = await _side_by_side(weir, generator)
    added = [one - other for one, other in zip(ours, direct, strict=True)]
    say(f"    POST /social/post, one after another: p50 {ours[0]:.1f} ms, p99 {ours[1]:.1f} ms")
    say(f"    the same stub called directly: p50 {direct[0]:.1f} ms, p99 {direct[1]:.1f} ms")
    say(
        f"    added by the stream: p50 {added[0]:.1f} ms (asked: at most {ASKED_ADDED_P50}), "
        f"p99 {added[1]:.1f} ms"
    )


async def _drained(weir: Weir) -> float:
    """Posts a second from the first to the last, of which each must be done."""
    requests = [
        GenerationRequest(
            post_id=uuid4(),
            user_id=f"u-{number % USERS}",
            issued_at=datetime.now(UTC),
            prompt=_prompt(number),
        )
        for number in range(BACKLOG)
    ]
    await weir.produce(
        GENERATION_REQUESTS.name,
        [(each.user_id.encode(), each.model_dump_json().encode()) for each in requests],
    )

    def start() -> ManagedProcess:
        return weir.process(["-m", "deploy.commands", "social"])

    results = await written(weir, GENERATION_RESULTS, BACKLOG, start)
    failed = [each.value for each in results if orjson.loads(each.value or b"")["state"] != "done"]
    if failed:
        raise RuntimeError(f"{len(failed)} posts failed: {failed[0]!r}")
    return rate(results)


async def _side_by_side(
    weir: Weir, generator: Generator
) -> tuple[tuple[float, float], tuple[float, float]]:
    """p50 and p99 in ms of posts over HTTP, and of the same posts made directly, in turn."""
    ours, direct = [], []
    for number in range(WARM_UP + SAMPLES):
        prompt = _prompt(number)
        began = perf_counter()
        async with weir.session.post(f"{weir.url}/social/post", json={"prompt": prompt}) as answer:
            document = await answer.json(content_type=None)
            if answer.status != 200 or document["state"] != "done":
                raise RuntimeError(f"{answer.status}: {document}")
        asked = perf_counter()
        job = GenerationJob(
            post_id=uuid4(), user_id="u", requested_at=datetime.now(UTC), prompt=prompt
        )
        outcome = await generator.generate(job, lambda _: None)
        called = perf_counter()
        if outcome.result.state != "done":
            raise RuntimeError(outcome.result.detail)
        if number >= WARM_UP:
            ours.append((asked - began) * 1000)
            direct.append((called - asked) * 1000)
    return _p50_and_p99(ours), _p50_and_p99(direct)


def _p50_and_p99(took: list[float]) -> tuple[float, float]:
    of_hundred = quantiles(took, n=100, method="inclusive")
    return of_hundred[49], of_hundred[98]


def _prompt(number: int) -> str:
    return f"Our espresso blend number {number} is here, roasted this morning"
