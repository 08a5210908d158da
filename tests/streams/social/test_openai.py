"""The real provider over HTTP against a fake of OpenAI that checks what is sent and answered."""

import asyncio
import logging
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from annotated_types import Le
from obstore.store import LocalStore

from deploy.local.ports import free_port
from schemas.generation import GenerationProgress
from schemas.metrics.social import CALLS, COST, ERRORS, RETRIES
from schemas.posts import MAX_VARIANTS
from streams.social.generator import Generator, Outcome
from streams.social.object_storage import ObjectStorage
from streams.social.openai_provider import MAX_CONNECTIONS
from streams.social.provider import ProviderFailure, Tally
from streams.social.settings import SocialSettings
from tests.openai_fake import KEY, FakeOpenAI
from tests.scrapes import shown_here
from tests.streams.social.openai_calls import (
    KINDS,
    MODELS,
    Kind,
    a_job,
    ask,
    generating,
    ignored,
    providing,
    providing_at,
)

pytestmark = [pytest.mark.services, pytest.mark.timeout(60)]

WRONG_KEY = "sk-wrong-but-secret"
PAUSED = "espresso [429] [429-after]"


async def test_a_post_is_made_with_its_use_and_cost(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    job = a_job("espresso", variants=2)
    before = shown_here("social")
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
    after = shown_here("social")
    for model, micros in prices.items():
        spent = after.value(COST, model=model) - before.value(COST, model=model)
        assert spent * 1_000_000 == pytest.approx(micros)
    assert again.found
    assert again.result == result
    assert fake.calls("caption", "espresso") == 2
    assert len([each for each in steps if each.caption]) == 2


CASES = [
    ("[429] [429-ms]", "done", None, 3),
    ("[429-after]", "done", None, 2),
    ("[500] [503]", "done", None, 3),
    ("[cut]", "done", None, 2),
    ("[hang-up]", "done", None, 2),
    ("[bad-json]", "done", None, 2),
    ("[html]", "done", None, 2),
    ("[null]", "done", None, 2),
    ("[no-details]", "done", None, 1),
    ("[no-usage]", "done", None, 1),
    ("[429] [always]", "failed", "rate_limited", 4),
    ("[429-long]", "failed", "rate_limited", 1),
    ("[500] [always]", "failed", "provider_unavailable", 4),
    ("[cut] [always]", "failed", "provider_unavailable", 4),
    ("[hang-up] [always]", "failed", "provider_unavailable", 4),
    ("[slow] [always]", "failed", "provider_timeout", 4),
    ("[drip] [always]", "failed", "provider_timeout", 4),
    ("[bad-json] [always]", "failed", "unusable_answer", 2),
    ("[html] [always]", "failed", "unusable_answer", 2),
    ("[html-as-json] [always]", "failed", "unusable_answer", 2),
    ("[null] [always]", "failed", "unusable_answer", 2),
    ("[list] [always]", "failed", "unusable_answer", 2),
    ("[empty] [always]", "failed", "unusable_answer", 2),
    ("[odd-shape] [always]", "failed", "unusable_answer", 2),
    ("[odd-parts] [always]", "failed", "unusable_answer", 2),
    ("[odd-error]", "failed", "unusable_answer", 1),
    ("[bad-request]", "failed", "unusable_answer", 1),
    ("[blocked]", "failed", "content_refused", 1),
    ("[quota]", "failed", "provider_quota", 1),
    ("[no-model]", "failed", "provider_credentials", 1),
]
CASES_OF: dict[Kind, list[tuple[str, str, str | None, int]]] = {
    "caption": [
        *CASES,
        ("[cut-off]", "done", None, 2),
        ("[filtered]", "failed", "content_refused", 1),
        ("[refusal]", "failed", "content_refused", 1),
    ],
    "picture": [*CASES, ("[odd-size] [always]", "failed", "unusable_answer", 2)],
}


@pytest.mark.parametrize(
    ("kind", "script", "state", "reason", "calls"),
    [(kind, *case) for kind in KINDS for case in CASES_OF[kind]],
)
async def test_each_failure_ends_in_its_state_after_its_number_of_calls(
    tmp_path: Path, kind: Kind, script: str, state: str, reason: str | None, calls: int
) -> None:
    fake = FakeOpenAI()
    # The other kind succeeds: what fails first ends both, so only one can be counted.
    job = a_job(f"espresso {script}".replace("[", f"[{kind}:"))
    other = "picture" if kind == "caption" else "caption"
    patience: dict[Kind, float] = {kind: 0.5} if reason == "provider_timeout" else {}
    before = shown_here("social")
    async with generating(tmp_path, fake, patience=patience) as generator:
        result = (await generator.generate(job, ignored)).result
        again = await generator.generate(job, ignored)
        alarmed = generator.problem()
    assert fake.wrong == []
    assert (result.state, result.reason) == (state, reason)
    assert (result.credits_charged, result.credits_refunded) == (1, int(state == "failed"))
    assert fake.calls(kind, job.prompt) == calls
    assert {each.model: each.calls for each in result.usage}[MODELS[kind]] == calls
    if state == "done":
        assert fake.calls(other, job.prompt) == 1
    else:
        assert fake.calls(other, job.prompt) <= 1
        assert result.detail
        assert not result.variants
    assert again.found
    assert again.result == result
    assert bool(alarmed) == (reason in {"provider_quota", "provider_credentials"})
    after = shown_here("social")
    made, failed, repeated = (
        after.value(metric, model=MODELS[kind]) - before.value(metric, model=MODELS[kind])
        for metric in (CALLS, ERRORS, RETRIES)
    )
    assert (made, failed, repeated) == (calls, calls - (state == "done"), calls - 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("host", ["127.0.0.1", "nowhere.invalid"])
async def test_an_openai_that_cannot_be_reached_is_not_one_that_is_slow(
    kind: Kind, host: str
) -> None:
    async with providing_at(f"http://{host}:{free_port()}/v1") as provider:
        with pytest.raises(ProviderFailure, match="could not be reached") as raised:
            await ask(provider, kind, "espresso", Tally())
    assert raised.value.reason == "provider_unavailable"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_wrong_key_is_tried_once_and_alarms(kind: Kind) -> None:
    fake = FakeOpenAI()
    tally = Tally()
    async with providing(fake, key=WRONG_KEY) as provider:
        with pytest.raises(ProviderFailure) as failure:
            await ask(provider, kind, "espresso", tally)
        assert provider.problem()
    assert failure.value.reason == "provider_credentials"
    assert fake.calls(kind, "espresso") == 1
    assert (tally.uses[MODELS[kind]].calls, tally.uses[MODELS[kind]].cost_micros) == (1, 0)


@pytest.mark.parametrize("kind", KINDS)
async def test_it_waits_as_long_as_retry_after_asks_for(kind: Kind) -> None:
    fake = FakeOpenAI()
    async with providing(fake) as provider:
        await ask(provider, kind, PAUSED, Tally())
    pauses = [after - before for before, after in pairwise(fake.began_at[f"{kind} {PAUSED}"])]
    assert len(pauses) == 2
    # Its own pause is 0.01 s.
    assert pauses[0] < 1 <= pauses[1], pauses


@pytest.mark.parametrize("key", [KEY, WRONG_KEY])
async def test_no_log_of_any_level_names_the_key_or_the_prompt(
    key: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = "a secret prompt [500] [bad-json]"
    for name in ("", "openai", "httpx2", "aiohttp"):
        caplog.set_level(logging.DEBUG, name)
    async with providing(FakeOpenAI(), key=key) as provider:
        for kind in KINDS:
            try:
                await ask(provider, kind, prompt, Tally())
            except ProviderFailure:
                assert key == WRONG_KEY
    # Whoever sends and receives did log.
    assert {"openai", "httpx2"} <= {record.name.partition(".")[0] for record in caplog.records}
    said = "".join(capsys.readouterr()) + "".join(
        f"{record.getMessage()} {record.__dict__}" for record in caplog.records
    )
    assert ("openai needs its operator" in said) == (key == WRONG_KEY)
    assert key not in said
    assert "a secret prompt" not in said


def test_there_is_a_connection_for_every_call_of_all_posts_that_may_be_in_flight() -> None:
    limits = SocialSettings.model_fields["in_flight"].metadata
    posts = max(each.le for each in limits if isinstance(each, Le) and isinstance(each.le, int))
    assert posts * 2 * MAX_VARIANTS <= MAX_CONNECTIONS


async def test_finished_parts_are_not_made_again_after_a_kill(tmp_path: Path) -> None:
    # Of each kind the first call has no answer by then: what is answered is also kept.
    fake = FakeOpenAI()
    job = a_job("espresso [caption:slow] [picture:slow]", variants=3)
    async with generating(tmp_path, fake) as generator:
        kept: list[GenerationProgress] = []
        all_but_the_slow = asyncio.Event()

        def report(step: GenerationProgress) -> None:
            if step.caption or step.picture:
                kept.append(step)
            if len(kept) == 4:
                all_but_the_slow.set()

        await _killed(asyncio.create_task(generator.generate(job, report)), all_but_the_slow)
        result = (await generator.generate(job, ignored)).result
    assert result.state == "done"
    assert sum(each.calls for each in result.usage) == 6
    assert (fake.begun.total(), fake.finished.total()) == (8, 6)


async def test_what_is_answered_is_kept_though_it_is_killed_meanwhile(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    job = a_job("espresso")
    storage = _HeldStorage(LocalStore(tmp_path / "media", mkdir=True))
    async with providing(fake) as provider:
        generator = Generator(provider, storage, lambda: datetime.now(UTC))
        await _killed(asyncio.create_task(generator.generate(job, ignored)), storage.asked_for_both)
        storage.released.set()
        await generator.finish()
        result = (await generator.generate(job, ignored)).result
    assert result.state == "done"
    assert fake.begun == {"caption espresso": 1, "picture espresso": 1}


class _HeldStorage(ObjectStorage):
    """Keeps no part until it is released, which may be once a caption and a picture are there."""

    def __init__(self, store: LocalStore) -> None:
        super().__init__(store)
        self._asked = 0
        self.asked_for_both = asyncio.Event()
        self.released = asyncio.Event()

    async def create(self, path: str, content: bytes) -> bool:
        if path.rpartition("/")[2].startswith(KINDS):
            self._asked += 1
            if self._asked == len(KINDS):
                self.asked_for_both.set()
            await self.released.wait()
        return await super().create(path, content)


async def _killed(making: asyncio.Task[Outcome], when: asyncio.Event) -> None:
    await when.wait()
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making


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
