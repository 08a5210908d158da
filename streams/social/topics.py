"""The topics that the social worker needs."""

from typing import Final

from schemas.topics import (
    DEAD_LETTERS,
    GENERATION_JOBS,
    GENERATION_PROGRESS,
    GENERATION_REQUESTS,
    GENERATION_RESULTS,
    QUOTA_COMMANDS,
    REPLIES,
    Topic,
)

NEEDED: Final[tuple[Topic, ...]] = (
    GENERATION_REQUESTS,
    GENERATION_JOBS,
    GENERATION_PROGRESS,
    GENERATION_RESULTS,
    QUOTA_COMMANDS,
    REPLIES,
    DEAD_LETTERS,
)
