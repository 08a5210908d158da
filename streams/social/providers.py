"""Which provider the settings ask for."""

import contextlib
from collections.abc import AsyncIterator

import structlog

from streams.social.generator_settings import GeneratorSettings
from streams.social.provider import PostProvider

log = structlog.get_logger()


@contextlib.asynccontextmanager
async def opened_provider(settings: GeneratorSettings) -> AsyncIterator[PostProvider]:
    """The provider with its connections, which end with it.

    Only the one that is used is loaded: OpenAI's package takes 0.6 s of a worker's start.
    """
    if not settings.stubbed:
        from streams.social.openai_provider import opened_openai

        async with opened_openai(settings) as provider:
            yield provider
        return
    from streams.social.stub import StubProvider

    why = "OPENAI_USE_STUB is set" if settings.use_stub else "OPENAI_API_KEY is not set"
    log.warning("posts are made by the stub, not by OpenAI", why=why)
    yield StubProvider(settings)
