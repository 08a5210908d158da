"""The provider that needs no OpenAI: the same caption and picture for the same job, at once."""

import asyncio
import re
from hashlib import sha256
from typing import Final

from schemas.generation import GenerationJob, ModelUse, generation_id
from schemas.metrics.instruments import counter
from schemas.metrics.social import ERRORS
from schemas.posts import PLATFORMS, Tone
from streams.social.drawing import drawn
from streams.social.generator_settings import GeneratorSettings
from streams.social.provider import Made, ProviderFailure, Tally, fitted

MODEL: Final = "stub"

_OPENINGS: Final[dict[Tone, tuple[str, ...]]] = {
    "friendly": ("Good news, friends:", "Come and see:", "We could not wait to tell you:"),
    "professional": ("We are pleased to announce:", "Now available:", "An update from our team:"),
    "playful": ("Guess what?", "Psst, over here:", "Ready, steady:"),
    "inspiring": ("Every great day begins somewhere:", "Imagine this:", "Dare to begin:"),
    "witty": ("Plot twist:", "Breaking news, more or less:", "Our lawyers let us say it:"),
    "informative": ("What is new:", "In short:", "Worth knowing:"),
}
_ENDINGS: Final[dict[Tone, tuple[str, ...]]] = {
    "friendly": ("See you soon!", "Tell us what you think.", "Bring someone along."),
    "professional": ("Learn more from our team.", "Get in touch with us.", "Find out how."),
    "playful": ("Last one there brings snacks!", "Tag who needs this.", "No peeking."),
    "inspiring": ("What will you make of it?", "Your turn.", "Begin today."),
    "witty": ("You saw it here second.", "Side effects may include joy.", "We rest our case."),
    "informative": ("Save this for later.", "Questions? Ask below.", "Details in our profile."),
}


class StubProvider:
    """Answers after a set delay; a set part of all posts fails, each time the same ones."""

    stub = True

    def __init__(self, settings: GeneratorSettings) -> None:
        self._delay = settings.stub_delay
        self._failures = settings.stub_failures

    async def caption(self, job: GenerationJob, number: int, tally: Tally) -> str:
        await self._answer(job, tally)
        seed = sha256(f"{number}:{job.tone}:{job.prompt}".encode()).digest()
        openings, endings = _OPENINGS[job.tone], _ENDINGS[job.tone]
        opening = openings[(seed[0] + number) % len(openings)]
        ending = endings[(seed[1] + number) % len(endings)]
        tags = _tags(job.prompt)
        limit = PLATFORMS[job.platform].caption_characters
        around = len(opening) + len(ending) + len(tags) + 6
        said = fitted(" ".join(job.prompt.split()), limit - around)
        if said[-1] not in ".!?…":
            said += "."
        return f"{opening} {said} {ending}" + (f"\n\n{tags}" if tags else "")

    async def picture(self, job: GenerationJob, number: int, tally: Tally) -> Made:
        await self._answer(job, tally)
        size = PLATFORMS[job.platform]
        content = await asyncio.to_thread(
            drawn, job.prompt, variant=number, width=size.width, height=size.height
        )
        tally.used(
            ModelUse(model=MODEL, calls=0, input_tokens=0, output_tokens=0, images=1, cost_micros=0)
        )
        return Made(content, size.width, size.height)

    def problem(self) -> str | None:
        return None

    async def _answer(self, job: GenerationJob, tally: Tally) -> None:
        tally.called(MODEL)
        await asyncio.sleep(self._delay)
        share = generation_id(job.user_id, job.post_id).int % 1_000_000 / 1_000_000
        if share < self._failures:
            counter(ERRORS, MODEL, "provider_unavailable").inc()
            raise ProviderFailure(
                "provider_unavailable",
                "The stub was told to fail this post; ask for another one.",
            )


def _tags(prompt: str) -> str:
    # A word that is longer than most is likely to be what the post is about.
    words = dict.fromkeys(word.lower() for word in re.findall(r"[^\W\d_]{5,20}", prompt))
    return " ".join(f"#{word}" for word in sorted(words, key=len, reverse=True)[:3])
