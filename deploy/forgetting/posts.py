"""A user's posts in the media store: pictures, and what is remembered of posts in the making."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from deploy.billing.clickhouse_questions import Questions
from deploy.forgetting.subject import Subject
from deploy.forgetting.tables import PICTURES, POSTS, SHARED_PICTURES
from schemas.media import picture_path
from streams.social.journal import folder_of, picture_in
from streams.social.object_storage import ObjectStorage

MOST_OF_POST: Final = 1_000


class Posts:
    """As ClickHouse names them. Methods raise as Questions, and Retryable as the store does."""

    def __init__(self, storage: ObjectStorage, questions: Questions, subject: Subject) -> None:
        self._storage = storage
        self._questions = questions
        self._subject = subject
        self._found: set[str] = set()

    async def look(self) -> int:
        """How many objects there are: those found before that are left, and new ones."""
        self._found = {path for path in self._found if await self._storage.read(path) is not None}
        keys = {str(row[0]) for row in self._rows(PICTURES)}
        for row in self._rows(POSTS):
            folder = folder_of(UUID(str(row[0])))
            for path in await self._storage.below(folder, limit=MOST_OF_POST):
                self._found.add(path)
                content = await self._storage.read(path)
                # Also of posts that failed, which have no pictures in their results.
                picture = None if content is None else picture_in(path, content)
                keys |= set() if picture is None else {picture.key}
        for key in sorted(keys - self._shared(sorted(keys))):
            path = picture_path(key)
            if await self._storage.read(path) is not None:
                self._found.add(path)
        return len(self._found)

    async def erase(self) -> None:
        """Deletes what `look` has found: pictures first, since the rest says which they are."""
        for path in sorted(self._found, key=lambda path: path.startswith("generations/")):
            await self._storage.delete([path])

    def _rows(self, sql: str) -> Sequence[Sequence[object]]:
        return self._questions.rows(sql, self._subject.by_name())

    def _shared(self, keys: Sequence[str]) -> set[str]:
        if not keys:
            return set()
        parameters = {**self._subject.by_name(), "keys": list(keys)}
        return {str(row[0]) for row in self._questions.rows(SHARED_PICTURES, parameters)}
