"""Logs why credentials were refused, which the answer does not say: seldom, and without them."""

import time
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger()

EVERY_SECONDS: Final = 60.0
MAX_REASONS: Final = 50


class RefusalLog:
    """One line a minute for each reason, with how often it was met since the last one."""

    def __init__(self, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer = timer
        self._counts: dict[str, int] = {}
        self._logged_at: dict[str, float] = {}

    def note(self, reason: str) -> None:
        """Counts a refusal; the reasons are sentences of ours, never what was sent."""
        if reason not in self._counts and len(self._counts) >= MAX_REASONS:
            reason = "other"
        self._counts[reason] = self._counts.get(reason, 0) + 1
        now = self._timer()
        if now - self._logged_at.get(reason, -EVERY_SECONDS) >= EVERY_SECONDS:
            log.warning("credentials were refused", reason=reason, times=self._counts[reason])
            self._counts[reason] = 0
            self._logged_at[reason] = now
