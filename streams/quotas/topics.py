"""The topics that the quotas worker needs."""

from typing import Final

from schemas.topics import (
    DEAD_LETTERS,
    GENERATION_JOBS,
    GENERATION_RESULTS,
    QUOTA_ACCOUNTS,
    QUOTA_COMMANDS,
    QUOTA_DECISIONS,
    QUOTA_THRESHOLDS,
    REPLIES,
    Topic,
)

NEEDED: Final[tuple[Topic, ...]] = (
    QUOTA_COMMANDS,
    QUOTA_ACCOUNTS,
    QUOTA_DECISIONS,
    QUOTA_THRESHOLDS,
    GENERATION_JOBS,
    GENERATION_RESULTS,
    REPLIES,
    DEAD_LETTERS,
)
