"""The real provider, and a generator with it, before a fake of OpenAI."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal
from uuid import uuid4

from obstore.store import LocalStore

from schemas.generation import GenerationJob, GenerationProgress
from streams.social.generator import Generator
from streams.social.generator_settings import GeneratorSettings
from streams.social.object_storage import ObjectStorage
from streams.social.openai_provider import OpenAIProvider, opened_openai
from streams.social.provider import Tally
from tests.openai_fake import KEY, FakeOpenAI, served

Kind = Literal["caption", "picture"]
KINDS: Final[tuple[Kind, Kind]] = ("caption", "picture")
MODELS: Final = {"caption": "gpt-6-luna", "picture": "gpt-image-2.5-flare"}
PATIENCE: Final = 20.0
"""Seconds for a call that is to succeed, on a machine that has much else to do."""


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
async def providing(
    fake: FakeOpenAI, key: str = KEY, patience: Mapping[Kind, float] | None = None
) -> AsyncIterator[OpenAIProvider]:
    async with served(fake) as url, providing_at(url, key, patience) as provider:
        yield provider


@asynccontextmanager
async def providing_at(
    url: str, key: str = KEY, patience: Mapping[Kind, float] | None = None
) -> AsyncIterator[OpenAIProvider]:
    """`patience`: seconds for calls of a kind where PATIENCE is too much."""
    seconds = dict.fromkeys(KINDS, PATIENCE) | dict(patience or {})
    settings = GeneratorSettings(
        api_key=key,
        base_url=url,
        text_timeout=seconds["caption"],
        image_timeout=seconds["picture"],
    )
    async with opened_openai(settings, first_pause=0.01) as provider:
        yield provider


@asynccontextmanager
async def generating(
    folder: Path, fake: FakeOpenAI, patience: Mapping[Kind, float] | None = None
) -> AsyncIterator[Generator]:
    async with providing(fake, patience=patience) as provider:
        storage = ObjectStorage(LocalStore(folder / "media", mkdir=True))
        yield Generator(provider, storage, lambda: datetime.now(UTC))


async def ask(provider: OpenAIProvider, kind: Kind, prompt: str, tally: Tally) -> None:
    """One caption or one picture. Raises what the provider does."""
    job = a_job(prompt)
    if kind == "caption":
        await provider.caption(job, 1, tally)
    else:
        await provider.picture(job, 1, tally)


def ignored(_: GenerationProgress) -> None:
    pass
