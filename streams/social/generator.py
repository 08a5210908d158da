"""Makes a post: all captions and pictures at once, each once, and one outcome for good."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

import structlog

from schemas.generation import (
    GenerationJob,
    GenerationProgress,
    GenerationResult,
    ModelUse,
    PostVariant,
)
from schemas.media import open_media
from schemas.tracing import span
from streams.failures import Retryable
from streams.social.generator_settings import GeneratorSettings
from streams.social.journal import CaptionPart, Journal, PicturePart, Remembered
from streams.social.object_storage import ObjectStorage
from streams.social.pictures import store_picture
from streams.social.provider import PostProvider, ProviderFailure, Tally, merged
from streams.social.providers import opened_provider

log = structlog.get_logger()

Clock = Callable[[], datetime]
Report = Callable[[GenerationProgress], None]

SWEEP_SECONDS: Final = 3600.0
SWEPT_AT_ONCE: Final = 20_000
FINISH_SECONDS: Final = 10.0
MAX_DETAIL_CHARACTERS: Final = 500

_Part = TypeVar("_Part", CaptionPart, PicturePart)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a post; `found`: it was decided before it was asked for this time."""

    result: GenerationResult
    found: bool


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One variant, made or not, and what it used."""

    variant: PostVariant | None
    failure: ProviderFailure | None
    usage: list[ModelUse]
    stub: bool


class Generator:
    """Makes posts with one provider. Any number may work on the same post: one outcome counts."""

    def __init__(self, provider: PostProvider, storage: ObjectStorage, clock: Clock) -> None:
        self._provider = provider
        self._storage = storage
        self._journal = Journal(storage)
        self._clock = clock
        self._keeping: set[asyncio.Task[object]] = set()

    async def generate(self, job: GenerationJob, report: Report) -> Outcome:
        """The post's outcome, decided now or before; `report` is told of each step.

        What can not be made fails in the result. Raises Retryable when the media store does not
        work; what is finished by then is not made again.
        """
        known = await self._journal.begin(job)
        if known.outcome is not None:
            return Outcome(known.outcome, found=True)
        self._tell(job, report)
        attempts = await asyncio.gather(
            *(self._variant(job, number, known, report) for number in range(1, job.variants + 1)),
            return_exceptions=True,
        )
        made = []
        for attempt in attempts:
            if isinstance(attempt, BaseException):
                raise attempt
            made.append(attempt)
        result, is_own = await self._journal.decide(job, self._result(job, made))
        log.info(
            "post decided",
            post_id=str(job.post_id),
            state=result.state,
            reason=result.reason,
            first=is_own,
        )
        return Outcome(result, found=not is_own)

    async def give_up(self, job: GenerationJob) -> Outcome:
        """Decides that a post which ends in an error again and again has failed.

        Raises Retryable as `generate` does.
        """
        failure = ProviderFailure(
            "unusable_answer", "it could not be generated; the operator's log says why"
        )
        attempt = _Attempt(None, failure, [], self._provider.stub)
        result, is_own = await self._journal.decide(
            job, self._result(job, [attempt] * job.variants)
        )
        return Outcome(result, found=not is_own)

    def problem(self) -> str | None:
        """Why no post can be made until somebody acts; None once a call has succeeded."""
        return self._provider.problem()

    async def sweep(self) -> int:
        """Deletes what is remembered of old posts, not their pictures; how many objects it were."""
        return await self._journal.sweep(self._clock(), limit=SWEPT_AT_ONCE)

    async def finish(self) -> None:
        """Waits until what was made is also kept, though nobody waits for it any more."""
        if self._keeping:
            await asyncio.wait(self._keeping, timeout=FINISH_SECONDS)

    async def _variant(
        self, job: GenerationJob, number: int, known: Remembered, report: Report
    ) -> _Attempt:
        tallies = (Tally(), Tally())
        try:
            caption, picture = await _both(
                self._caption(job, number, known.captions.get(number), tallies[0], report),
                self._picture(job, number, known.pictures.get(number), tallies[1], report),
            )
        except ProviderFailure as failure:
            parts = (known.captions.get(number), known.pictures.get(number))
            used = merged(
                use
                for part, tally in zip(parts, tallies, strict=True)
                for use in (part.usage if part else tally.uses.values())
            )
            return _Attempt(None, failure, used, self._provider.stub)
        return _Attempt(
            PostVariant(number=number, caption=caption.caption, picture=picture.picture),
            None,
            merged([*caption.usage, *picture.usage]),
            caption.stub or picture.stub,
        )

    async def _caption(
        self,
        job: GenerationJob,
        number: int,
        known: CaptionPart | None,
        tally: Tally,
        report: Report,
    ) -> CaptionPart:
        part = known
        if part is None:
            with span("caption"):
                text = await self._provider.caption(job, number, tally)
            made = CaptionPart(
                caption=text, stub=self._provider.stub, usage=list(tally.uses.values())
            )
            part = await self._kept(self._journal.keep_caption(job, number, made))
        self._tell(job, report, number, caption=part)
        return part

    async def _picture(
        self,
        job: GenerationJob,
        number: int,
        known: PicturePart | None,
        tally: Tally,
        report: Report,
    ) -> PicturePart:
        part = known
        if part is None:
            with span("picture"):
                made = await self._provider.picture(job, number, tally)

            async def keep() -> PicturePart:
                stored = PicturePart(
                    picture=await store_picture(self._storage, made),
                    stub=self._provider.stub,
                    usage=list(tally.uses.values()),
                )
                return await self._journal.keep_picture(job, number, stored)

            part = await self._kept(keep())
        self._tell(job, report, number, picture=part)
        return part

    async def _kept(self, keep: Coroutine[object, object, _Part]) -> _Part:
        """Finishes also when it is cancelled: what is paid for is not paid for twice."""
        keeping = asyncio.create_task(keep)
        self._keeping.add(keeping)
        keeping.add_done_callback(self._keeping.discard)
        return await asyncio.shield(keeping)

    def _tell(
        self,
        job: GenerationJob,
        report: Report,
        number: int | None = None,
        *,
        caption: CaptionPart | None = None,
        picture: PicturePart | None = None,
    ) -> None:
        report(
            GenerationProgress(
                post_id=job.post_id,
                user_id=job.user_id,
                variant=number,
                caption=None if caption is None else caption.caption,
                picture=None if picture is None else picture.picture,
                at=self._clock(),
            )
        )

    def _result(self, job: GenerationJob, attempts: list[_Attempt]) -> GenerationResult:
        variants = [attempt.variant for attempt in attempts if attempt.variant]
        failures = [attempt.failure for attempt in attempts if attempt.failure]
        detail = failures[0].detail if failures else ""
        if variants and failures:
            detail = f"{len(failures)} of {job.variants} variants could not be made: {detail}"
        return GenerationResult(
            post_id=job.post_id,
            user_id=job.user_id,
            state="done" if variants else "failed",
            reason=failures[0].reason if failures else None,
            detail=detail[:MAX_DETAIL_CHARACTERS],
            variants=variants,
            credits_charged=job.variants,
            credits_refunded=len(failures),
            stub=any(attempt.stub for attempt in attempts),
            usage=merged(use for attempt in attempts for use in attempt.usage),
            requested_at=job.requested_at,
            finished_at=self._clock(),
        )


@contextlib.asynccontextmanager
async def opened_generator(settings: GeneratorSettings, clock: Clock) -> AsyncIterator[Generator]:
    """A generator with its connections, which end with it; sweeps every hour meanwhile.

    Raises schemas.media.MediaNotUsable.
    """
    storage = ObjectStorage(open_media(settings))
    async with opened_provider(settings) as provider:
        generator = Generator(provider, storage, clock)
        sweeping = asyncio.create_task(_sweep(generator))
        try:
            yield generator
        finally:
            sweeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sweeping
            await generator.finish()


async def _sweep(generator: Generator) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            if deleted := await generator.sweep():
                log.info("old posts forgotten", objects=deleted)
        except Retryable as error:
            log.warning("old posts not forgotten, tried again in an hour", error=str(error))


async def _both(
    caption: Awaitable[CaptionPart], picture: Awaitable[PicturePart]
) -> tuple[CaptionPart, PicturePart]:
    """Both at once; when one fails the other is given up. Raises what the first failure raised."""
    tasks = (asyncio.ensure_future(caption), asyncio.ensure_future(picture))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task.done() and (error := task.exception()) is not None:
                raise error
        return tasks[0].result(), tasks[1].result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
