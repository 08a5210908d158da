"""What calls of OpenAI used and cost, as its answers say it or fail to."""

import pytest

from schemas.generation import ModelUse
from streams.social.provider import ProviderFailure, Tally
from tests.openai_fake import FakeOpenAI
from tests.streams.social.openai_calls import KINDS, MODELS, Kind, ask, providing

pytestmark = [pytest.mark.services, pytest.mark.timeout(60)]

TOKENS = {"caption": (100, 40), "picture": (30, 400)}
MICROS = {"caption": 30, "picture": 12_150}


async def used(kind: Kind, script: str) -> ModelUse:
    fake = FakeOpenAI()
    tally = Tally()
    async with providing(fake) as provider:
        await ask(provider, kind, f"espresso {script}", tally)
    assert fake.wrong == []
    assert list(tally.uses) == [MODELS[kind]]
    return tally.uses[MODELS[kind]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("script", "calls", "billed"),
    [
        ("", 1, 1),
        ("[no-details]", 1, 1),
        ("[429] [500]", 3, 1),
        # Billed, though of no use: the text is counted before anything is made of it.
        ("[bad-json]", 2, 2),
    ],
)
async def test_every_answered_call_is_counted_with_its_cost(
    kind: Kind, script: str, calls: int, billed: int
) -> None:
    use = await used(kind, script)
    tokens = tuple(billed * count for count in TOKENS[kind])
    assert (use.calls, use.input_tokens, use.output_tokens) == (calls, *tokens)
    assert use.images == (billed if kind == "picture" else 0)
    assert use.cost_micros == billed * MICROS[kind]


async def test_a_caption_that_is_cut_off_is_counted_with_its_cost() -> None:
    use = await used("caption", "[cut-off]")
    assert (use.calls, use.input_tokens, use.output_tokens, use.cost_micros) == (2, 200, 80, 60)


async def test_what_is_read_from_the_cache_and_written_to_it_has_its_own_price() -> None:
    use = await used("caption", "[cached]")
    # Of 100 tokens 20 are read and 50 written: 30 * 0.10 + 20 * 0.01 + 50 * 0.125 + 40 * 0.50.
    assert use.cost_micros == 29
    assert use.input_tokens == 100


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_that_does_not_say_what_it_used_is_of_no_known_cost(kind: Kind) -> None:
    use = await used(kind, "[no-usage]")
    assert (use.calls, use.input_tokens, use.output_tokens) == (1, 0, 0)
    assert use.images == (1 if kind == "picture" else 0)
    assert use.cost_micros is None


@pytest.mark.parametrize("kind", KINDS)
async def test_an_answer_of_another_shape_is_a_call_of_no_known_cost(kind: Kind) -> None:
    use = await used(kind, "[html]")
    assert (use.calls, use.input_tokens, use.output_tokens) == (2, *TOKENS[kind])
    assert use.cost_micros is None


@pytest.mark.parametrize("kind", KINDS)
async def test_what_failed_is_counted_too(kind: Kind) -> None:
    fake = FakeOpenAI()
    tally = Tally()
    async with providing(fake) as provider:
        with pytest.raises(ProviderFailure):
            await ask(provider, kind, "espresso [bad-json] [always]", tally)
    use = tally.uses[MODELS[kind]]
    assert (use.calls, use.cost_micros) == (2, 2 * MICROS[kind])
