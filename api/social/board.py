"""What happens to posts now, as the workers tell it: in memory, of the last hour."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, Self
from uuid import UUID

import structlog
from pydantic import ValidationError

from api.following import Record, TopicFollower
from schemas.generation import (
    GenerationJob,
    GenerationProgress,
    GenerationResult,
    Picture,
    generation_id,
)
from schemas.posts import PostOptions
from schemas.servers import KafkaSettings
from schemas.topics import GENERATION_JOBS, GENERATION_PROGRESS, GENERATION_RESULTS

log = structlog.get_logger()

LOOKED_BACK: Final = timedelta(hours=1)
MAX_POSTS: Final = 20_000
MAX_CHARACTERS: Final = 30_000_000
"""So many posts, and characters in their prompts and captions, are kept; ClickHouse has the
others."""

PostStage = Literal["queued", "generating", "done", "failed"]


@dataclass(frozen=True, slots=True)
class PostState:
    """Where a post stands. `captions` and `pictures` by variant, as far as they are there.

    Without options its job was not seen yet.
    """

    post_id: UUID
    user_id: str
    state: PostStage = "queued"
    options: PostOptions | None = None
    requested_at: datetime | None = None
    captions: Mapping[int, str] = field(default_factory=dict)
    pictures: Mapping[int, Picture] = field(default_factory=dict)
    result: GenerationResult | None = None


class PostBoard:
    """Follows jobs, steps and results. A state never goes back: a result is final."""

    def __init__(
        self,
        settings: KafkaSettings,
        now: datetime | None = None,
        *,
        most: int = MAX_POSTS,
        most_characters: int = MAX_CHARACTERS,
    ) -> None:
        """`now`: what the last hour is reckoned from."""
        self._most = most
        self._most_characters = most_characters
        self._characters = 0
        self._posts: OrderedDict[UUID, PostState] = OrderedDict()
        self._changed: dict[UUID, list[asyncio.Event]] = {}
        self._takers = {
            settings.topic(GENERATION_JOBS.name): self._take_job,
            settings.topic(GENERATION_PROGRESS.name): self._take_step,
            settings.topic(GENERATION_RESULTS.name): self._take_result,
        }
        self._follower = TopicFollower(
            settings,
            [GENERATION_JOBS.name, GENERATION_PROGRESS.name, GENERATION_RESULTS.name],
            self.take,
            start=(now or datetime.now(UTC)) - LOOKED_BACK,
        )

    async def __aenter__(self) -> Self:
        await self._follower.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._follower.__aexit__(*exception)

    def problem(self) -> str | None:
        """Why nothing is heard of posts now, or None."""
        return self._follower.problem()

    def take(self, record: Record) -> None:
        """Notes what a message of the topics says; what cannot be read is passed over."""
        try:
            self._takers[record.topic](record.value or b"")
        except ValidationError:
            log.warning(
                "a message about a post cannot be read and is passed over",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
            )

    def queued(
        self, user_id: str, post_id: UUID, options: PostOptions, requested_at: datetime
    ) -> None:
        """Notes a post whose request is on Kafka, so that who asked finds it at once."""
        state = self._state(user_id, post_id)
        if state.options is None:
            self._put(replace(state, options=options, requested_at=requested_at))

    def ended(self, result: GenerationResult) -> None:
        """Notes what became of a post: once and for good, but for one that the quota refused.

        Its key is forgotten some day, and may be used for a post that is paid for then.
        """
        state = self._state(result.user_id, result.post_id)
        if state.result is not None and (
            state.result.credits_charged or not result.credits_charged
        ):
            return
        self._put(
            replace(
                state,
                state=result.state,
                captions={each.number: each.caption for each in result.variants},
                pictures={each.number: each.picture for each in result.variants},
                result=result,
            )
        )

    def state_of(self, user_id: str, post_id: UUID) -> PostState | None:
        """Where a user's post stands; None: nothing was heard of it lately."""
        return self._posts.get(generation_id(user_id, post_id))

    def newer(self, stored: PostState) -> PostState:
        """As the board has it where ClickHouse has no result yet.

        A post that waited for longer than the board remembers is known by its steps alone: what
        was asked for is ClickHouse's to say.
        """
        state = self.state_of(stored.user_id, stored.post_id)
        if stored.result is not None or state is None:
            return stored
        if state.options is None:
            return replace(state, options=stored.options, requested_at=stored.requested_at)
        return state

    def watched(self) -> int:
        """How many posts are watched now."""
        return len(self._changed)

    async def watch(self, user_id: str, post_id: UUID) -> AsyncGenerator[PostState, None]:
        """The state now and after each change, ending with the last; some may be left out.

        Nothing when the post is not known.
        """
        key = generation_id(user_id, post_id)
        changed = asyncio.Event()
        self._changed.setdefault(key, []).append(changed)
        try:
            while (state := self._posts.get(key)) is not None:
                yield state
                if state.result is not None:
                    return
                await changed.wait()
                changed.clear()
        finally:
            waiting = self._changed[key]
            waiting.remove(changed)
            if not waiting:
                del self._changed[key]

    def _take_job(self, value: bytes) -> None:
        job = GenerationJob.model_validate_json(value)
        if job.repeated:
            # Of a post that may have ended long ago: it says nothing of how that stands.
            return
        state = self._state(job.user_id, job.post_id)
        if state.options is None:
            self._put(replace(state, options=job.options(), requested_at=job.requested_at))

    def _take_step(self, value: bytes) -> None:
        step = GenerationProgress.model_validate_json(value)
        state = self._state(step.user_id, step.post_id)
        if state.result is not None:
            return
        captions, pictures = dict(state.captions), dict(state.pictures)
        if step.variant is not None and step.caption is not None:
            captions[step.variant] = step.caption
        if step.variant is not None and step.picture is not None:
            pictures[step.variant] = step.picture
        self._put(replace(state, state="generating", captions=captions, pictures=pictures))

    def _take_result(self, value: bytes) -> None:
        self.ended(GenerationResult.model_validate_json(value))

    def _state(self, user_id: str, post_id: UUID) -> PostState:
        known = self._posts.get(generation_id(user_id, post_id))
        return known or PostState(post_id, user_id)

    def _put(self, state: PostState) -> None:
        key = generation_id(state.user_id, state.post_id)
        self._characters += _characters(state) - _characters(self._posts.get(key))
        self._posts[key] = state
        self._posts.move_to_end(key)
        self._tell(key)
        while len(self._posts) > self._most or self._characters > self._most_characters:
            forgotten, old = self._posts.popitem(last=False)
            self._characters -= _characters(old)
            self._tell(forgotten)

    def _tell(self, key: UUID) -> None:
        for changed in self._changed.get(key, ()):
            changed.set()


def _characters(state: PostState | None) -> int:
    if state is None:
        return 0
    prompt = 0 if state.options is None else len(state.options.prompt)
    # A result holds its captions a second time.
    return prompt + 2 * sum(map(len, state.captions.values()))
