"""The real provider over HTTP against a fake of OpenAI that checks what is sent and answered."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import openai
import pytest
from obstore.store import LocalStore

from schemas.generation import GenerationJob, GenerationProgress
from schemas.prices import read_prices
from streams.social.generator import Generator
from streams.social.generator_settings import GeneratorSettings
from streams.social.object_storage import ObjectStorage
from streams.social.openai_provider import OpenAIProvider
from tests.openai_fake import KEY, FakeOpenAI, served

pytestmark = [pytest.mark.services, pytest.mark.timeout(60)]


def a_job(prompt: str, variants: int = 1) -> GenerationJob:
    return GenerationJob(
        post_id=uuid4(),
        user_id="alice",
        requested_at=datetime.now(UTC),
        prompt=prompt,
        platform="x",
        variants=variants,
    )


@asynccontextmanager
async def generating(
    folder: Path, fake: FakeOpenAI, key: str = KEY, patience: float = 5
) -> AsyncIterator[Generator]:
    async with (
        served(fake) as url,
        openai.AsyncOpenAI(api_key=key, base_url=url, max_retries=0) as client,
    ):
        settings = GeneratorSettings(api_key=key, text_timeout=patience, image_timeout=patience)
        provider = OpenAIProvider(client, settings, read_prices(), first_pause=0.01)
        storage = ObjectStorage(LocalStore(folder / "media", mkdir=True))
        yield Generator(provider, storage, lambda: datetime.now(UTC))


def ignored(_: GenerationProgress) -> None:
    pass


async def test_a_post_is_made_with_its_use_and_cost(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    job = a_job("espresso", variants=2)
    steps: list[GenerationProgress] = []
    async with generating(tmp_path, fake) as generator:
        outcome = await generator.generate(job, steps.append)
        again = await generator.generate(job, steps.append)
    result = outcome.result
    assert fake.wrong == []
    assert (result.state, result.stub, result.credits_refunded) == ("done", False, 0)
    assert [each.caption for each in result.variants] == ["Fresh from the fake #espresso"] * 2
    assert {(each.model, each.calls, each.images) for each in result.usage} == {
        ("gpt-6-luna", 2, 0),
        ("gpt-image-2.5-flare", 2, 2),
    }
    prices = {each.model: each.cost_micros for each in result.usage}
    assert prices == {"gpt-6-luna": 60, "gpt-image-2.5-flare": 2 * (150 + 12_000)}
    assert again.found
    assert again.result == result
    assert fake.calls("caption", "espresso") == 2
    assert len([each for each in steps if each.caption]) == 2


@pytest.mark.parametrize(
    ("script", "state", "reason", "captions"),
    [
        ("[429] [429-ms]", "done", None, 3),
        ("[429-after]", "done", None, 2),
        ("[500] [503]", "done", None, 3),
        ("[cut]", "done", None, 2),
        ("[bad-json]", "done", None, 2),
        ("[cut-off]", "done", None, 2),
        ("[429] [always]", "failed", "rate_limited", 4),
        ("[429-long]", "failed", "rate_limited", 1),
        ("[500] [always]", "failed", "provider_unavailable", 4),
        ("[cut] [always]", "failed", "provider_unavailable", 4),
        ("[slow] [always]", "failed", "provider_timeout", 4),
        ("[bad-json] [always]", "failed", "unusable_answer", 2),
        ("[bad-request]", "failed", "unusable_answer", 1),
        ("[refusal]", "failed", "content_refused", 1),
        ("[blocked]", "failed", "content_refused", 1),
        ("[quota]", "failed", "provider_quota", 1),
        ("[no-model]", "failed", "provider_credentials", 1),
    ],
)
async def test_each_failure_ends_in_its_state_after_its_number_of_calls(
    tmp_path: Path, script: str, state: str, reason: str | None, captions: int
) -> None:
    fake = FakeOpenAI()
    job = a_job(f"espresso {script}")
    async with generating(tmp_path, fake, patience=0.3) as generator:
        result = (await generator.generate(job, ignored)).result
        again = await generator.generate(job, ignored)
        alarmed = generator.problem()
    assert fake.wrong == []
    assert (result.state, result.reason) == (state, reason)
    assert (result.credits_charged, result.credits_refunded) == (1, int(state == "failed"))
    calls = max(fake.calls("caption", job.prompt), fake.calls("picture", job.prompt))
    assert calls == captions
    assert again.found
    assert again.result == result
    assert bool(alarmed) == (reason in {"provider_quota", "provider_credentials"})
    if state == "failed":
        assert result.detail
        assert not result.variants


async def test_a_wrong_key_fails_alarms_and_stays_out_of_the_logs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = "sk-wrong-but-secret"
    fake = FakeOpenAI()
    with caplog.at_level(logging.INFO):
        async with generating(tmp_path, fake, key=wrong) as generator:
            result = (await generator.generate(a_job("a secret prompt"), ignored)).result
            assert generator.problem()
    assert (result.state, result.reason) == ("failed", "provider_credentials")
    said = caplog.text + "".join(capsys.readouterr())
    assert "openai needs its operator" in said
    assert wrong not in said
    assert "a secret prompt" not in said


async def test_finished_parts_are_not_made_again_after_a_kill(tmp_path: Path) -> None:
    job = a_job("espresso", variants=3)
    fake = FakeOpenAI()
    async with generating(tmp_path, fake) as generator:
        finished = asyncio.Event()

        def report(step: GenerationProgress) -> None:
            if step.variant == 2 and (step.caption or step.picture):
                finished.set()

        making = asyncio.create_task(generator.generate(job, report))
        await finished.wait()
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)
        await generator.finish()
        result = (await generator.generate(job, ignored)).result
    assert result.state == "done"
    assert sum(each.calls for each in result.usage) == 6
    assert fake.finished.total() == 6


async def test_of_two_that_make_a_post_one_decides(tmp_path: Path) -> None:
    job = a_job("espresso")
    fake = FakeOpenAI(delay=0.05)
    async with generating(tmp_path, fake) as one, generating(tmp_path, fake) as other:
        outcomes = await asyncio.gather(one.generate(job, ignored), other.generate(job, ignored))
    assert outcomes[0].result == outcomes[1].result
    assert sorted(each.found for each in outcomes) == [False, True]


async def test_variants_that_fail_are_refunded_and_the_others_delivered(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    # The first caption that asks is refused; of three variants two are made.
    async with generating(tmp_path, fake) as generator:
        result = (await generator.generate(a_job("espresso [refusal]", 3), ignored)).result
    assert (result.state, result.reason) == ("done", "content_refused")
    assert len(result.variants) == 3 - result.credits_refunded
    assert result.credits_refunded >= 1
    assert "variants could not be made" in result.detail
