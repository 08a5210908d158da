"""What is remembered of posts: the parts that are made, and the one outcome of each.

An outcome is decided by the creation of an object, which exactly one writer of all succeeds in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, TypeVar
from uuid import UUID

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.generation import (
    MAX_CAPTION_CHARACTERS,
    GenerationJob,
    GenerationResult,
    ModelUse,
    Picture,
    generation_id,
)
from streams.failures import Retryable
from streams.social.object_storage import ObjectStorage

log = structlog.get_logger()

FOLDER: Final = "generations"
KEPT: Final = timedelta(days=45)
"""Longer than a command is remembered: no job of a post that is swept can come any more."""

ANOTHER: Final = timedelta(days=30)
"""A job that is charged anew and was asked for so much later is another post under the same id:
commands are remembered for 35 days, outcomes for some more."""

BEGUN: Final = "begun"
_OUTCOME: Final = "outcome"
HOURS: Final = 24
MAX_UNREADABLE: Final = 8
DELETED_AT_ONCE: Final = 500
LISTED_AT_ONCE: Final = 100_000

PartName = tuple[Literal["caption", "picture"], int]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    stub: bool
    usage: list[ModelUse]


class CaptionPart(_Part):
    """A caption that is made, and what that took."""

    caption: Annotated[str, Field(min_length=1, max_length=MAX_CAPTION_CHARACTERS)]


class PicturePart(_Part):
    """A picture that is made and stored, and what that took."""

    picture: Picture


_Stored = TypeVar("_Stored", GenerationResult, CaptionPart, PicturePart)


@dataclass(frozen=True, slots=True)
class Remembered:
    """All that is known of a post before it is worked on."""

    outcome: GenerationResult | None
    captions: Mapping[int, CaptionPart]
    pictures: Mapping[int, PicturePart]


class Journal:
    """Of all posts. Every method raises Retryable when the store does not work."""

    def __init__(self, storage: ObjectStorage) -> None:
        self._storage = storage

    async def begin(self, job: GenerationJob) -> Remembered:
        """What earlier attempts at this job left behind.

        Shows too that something can be stored, before anything is paid for.
        """
        folder = _folder(job)
        # Who is first need not look for anything.
        if await self._storage.create(f"{folder}/{BEGUN}", b""):
            return Remembered(None, {}, {})
        names = {
            path.rpartition("/")[2]: path
            for path in await self._storage.below(folder, limit=MAX_UNREADABLE + 17)
        }
        outcome = await self._outcome(folder) if _outcome_name(1) in names else None
        if outcome is not None and _is_of_another_post(job, outcome):
            await self._delete_parts(folder, names)
            # Another owner may have begun anew meanwhile, and decided.
            decided = await self._outcome(folder)
            if decided != outcome:
                return Remembered(decided, {}, {})
            await self._delete_outcomes(names)
            return Remembered(None, {}, {})
        captions: dict[int, CaptionPart] = {}
        pictures: dict[int, PicturePart] = {}
        if outcome is None:
            for number in range(1, job.variants + 1):
                if path := names.get(f"caption-{number}.json"):
                    caption = await self._read(path, CaptionPart)
                    captions |= {number: caption} if caption else {}
                if path := names.get(f"picture-{number}.json"):
                    picture = await self._read(path, PicturePart)
                    pictures |= {number: picture} if picture else {}
        return Remembered(outcome, captions, pictures)

    async def keep_caption(self, job: GenerationJob, number: int, part: CaptionPart) -> CaptionPart:
        """Stores it; returns what is stored, which another may have been first with."""
        return await self._keep(f"{_folder(job)}/caption-{number}.json", part)

    async def keep_picture(self, job: GenerationJob, number: int, part: PicturePart) -> PicturePart:
        """Stores it; returns what is stored, which another may have been first with."""
        return await self._keep(f"{_folder(job)}/picture-{number}.json", part)

    async def decide(
        self, job: GenerationJob, result: GenerationResult
    ) -> tuple[GenerationResult, bool]:
        """The post's outcome from now on, and whether it is this one: the first one wins."""
        folder = _folder(job)
        content = result.model_dump_json().encode()
        for turn in range(1, MAX_UNREADABLE + 1):
            path = f"{folder}/{_outcome_name(turn)}"
            if await self._storage.create(path, content):
                return result, True
            if (winner := await self._read(path, GenerationResult)) is not None:
                return winner, winner == result
        raise Retryable(f"no outcome below {folder} can be read; check what destroys files there")

    async def sweep(self, now: datetime, *, limit: int) -> int:
        """Deletes what is too old to be asked for, `limit` objects at most; how many it were.

        By the store's own times: a request may say any. Looks at a 24th of all posts, another one
        each hour of the day.
        """
        shards = sorted(await self._storage.folders(FOLDER))
        over: list[str] = []
        for shard in shards[now.hour % HOURS :: HOURS]:
            over += await self._storage.older(shard, now - KEPT, limit=LISTED_AT_ONCE)
        over = over[:limit]
        for start in range(0, len(over), DELETED_AT_ONCE):
            await self._storage.delete(over[start : start + DELETED_AT_ONCE])
        return len(over)

    async def _delete_parts(self, folder: str, names: Mapping[str, str]) -> None:
        """What there is of another post but its outcome, by which it is known."""
        # As old as this post: the sweep goes by it.
        await self._storage.write(f"{folder}/{BEGUN}", b"")
        kept = (BEGUN, _OUTCOME)
        if parts := [path for name, path in names.items() if not name.startswith(kept)]:
            await self._storage.delete(parts)

    async def _delete_outcomes(self, names: Mapping[str, str]) -> None:
        await self._storage.delete([names[name] for name in names if name.startswith(_OUTCOME)])

    async def _outcome(self, folder: str) -> GenerationResult | None:
        for turn in range(1, MAX_UNREADABLE + 1):
            path = f"{folder}/{_outcome_name(turn)}"
            content = await self._storage.read(path)
            if content is None:
                return None
            if (outcome := _parsed(path, content, GenerationResult)) is not None:
                return outcome
        return None

    async def _keep(self, path: str, part: _Stored) -> _Stored:
        content = part.model_dump_json().encode()
        if not await self._storage.create(path, content):
            if (winner := await self._read(path, type(part))) is not None:
                return winner
            await self._storage.write(path, content)
        return part

    async def _read(self, path: str, kind: type[_Stored]) -> _Stored | None:
        content = await self._storage.read(path)
        return None if content is None else _parsed(path, content, kind)


def _parsed(path: str, content: bytes, kind: type[_Stored]) -> _Stored | None:
    try:
        return kind.model_validate_json(content)
    except ValidationError:
        # A disk that lost power may leave an empty file. Nobody can have acted on what it said
        # and still need it; the next name in line decides then.
        log.warning("unreadable object passed over", path=path, bytes=len(content))
        return None


def _is_of_another_post(job: GenerationJob, outcome: GenerationResult) -> bool:
    return not job.repeated and job.requested_at - outcome.requested_at >= ANOTHER


def _folder(job: GenerationJob) -> str:
    # Nothing of what a request says but these: who asks again may say another time.
    return folder_of(generation_id(job.user_id, job.post_id))


def folder_of(generation: UUID) -> str:
    """Below which all lies that is remembered of a post."""
    return f"{FOLDER}/{str(generation)[:2]}/{generation}"


def picture_in(path: str, content: bytes) -> Picture | None:
    """The stored picture that an object of a post tells of; None: it is about something else."""
    if not path.rpartition("/")[2].startswith("picture-"):
        return None
    part = _parsed(path, content, PicturePart)
    return None if part is None else part.picture


def _outcome_name(turn: int) -> str:
    # An unreadable outcome is never deleted: who deletes may delete another's decision.
    return "outcome.json" if turn == 1 else f"outcome-{turn}.json"
