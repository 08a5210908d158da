"""Rate limits: how often a user or a key may ask, and the headers that say so."""

from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from math import ceil
from time import monotonic
from typing import Final, Literal

from limits import RateLimitItem
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from api.identity.limit import limit_of
from api.problems import Problem
from schemas.metrics.edge import RATE_LIMITED
from schemas.metrics.instruments import counter

Policy = Literal["user", "key"]
Clock = Callable[[], float]
"""Seconds that never run back."""

MAX_SUBJECTS: Final = 100_000
"""So many users, and so many keys, are counted at once in one process; some 250 bytes each."""


class RateLimits:
    """Counts requests by user and by key, in this process alone."""

    def __init__(
        self,
        *,
        user: str,
        key: str,
        clock: Clock = monotonic,
        max_subjects: int = MAX_SUBJECTS,
    ) -> None:
        """The limits as settings name them. Raises ValueError as `limit_of` does."""
        named: dict[Policy, RateLimitItem | None] = {"user": limit_of(user), "key": limit_of(key)}
        self._limits = {
            policy: _Limit(policy, item, clock, max_subjects)
            for policy, item in named.items()
            if item is not None
        }

    def hit(self, policy: Policy, subject: str) -> dict[str, str]:
        """Counts a request of this user or key, and returns headers for its answer.

        Raises Problem (429, with these headers and `Retry-After`) when it is one too many. No
        limit: no headers.
        """
        limit = self._limits.get(policy)
        return {} if limit is None else limit.hit(subject)


class _Limit:
    """One policy: its limit, and the windows of those it counts."""

    def __init__(
        self, policy: Policy, item: RateLimitItem, clock: Clock, max_subjects: int
    ) -> None:
        self._policy = policy
        self._item = item
        self._clock = clock
        self._windows = FixedWindowRateLimiter(BoundedMemory(clock, max_subjects))
        self._policy_field = f'"{policy}";q={item.amount};w={item.get_expiry()}'

    def hit(self, subject: str) -> dict[str, str]:
        allowed = self._windows.hit(self._item, subject)
        resets_at, remaining = self._windows.get_window_stats(self._item, subject)
        seconds = max(1, ceil(resets_at - self._clock()))
        headers = {
            "RateLimit-Policy": self._policy_field,
            "RateLimit": f'"{self._policy}";r={remaining};t={seconds}',
        }
        if allowed:
            return headers
        counter(RATE_LIMITED, self._policy).inc()
        raise Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"too many requests: this {self._policy} may send {self._item.amount} in "
            f"{self._item.get_expiry()} s; wait {seconds} s",
            retry_after=seconds,
            headers=headers,
        )


class BoundedMemory(Storage):
    """Counters of fixed windows that all have the same length, at most so many of them.

    The library's own storages in memory look through all counters within a hit (1.6 ms with 20,000
    users, measured), or start a thread for it. Here windows end in the order in which they began,
    so what has ended stands at the front.
    """

    STORAGE_SCHEME = None

    def __init__(self, clock: Clock, max_counters: int) -> None:
        super().__init__()
        self._clock = clock
        self._max_counters = max_counters
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def __len__(self) -> int:
        return len(self._windows)

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        now = self._clock()
        window = self._windows.get(key)
        if window is None or window[0] <= now:
            self._windows.pop(key, None)
            self._make_room(now)
            self._windows[key] = (now + expiry, amount)
            return amount
        ends_at, count = window
        self._windows[key] = (ends_at, count + amount)
        return count + amount

    def _make_room(self, now: float) -> None:
        # Of those that are too many the one whose window ends first is forgotten.
        while self._windows:
            first = next(iter(self._windows))
            if len(self._windows) < self._max_counters and self._windows[first][0] > now:
                return
            del self._windows[first]

    def get(self, key: str) -> int:
        ends_at, count = self._windows.get(key, (0.0, 0))
        return count if ends_at > self._clock() else 0

    def get_expiry(self, key: str) -> float:
        window = self._windows.get(key)
        return self._clock() if window is None else window[0]

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        count = len(self._windows)
        self._windows.clear()
        return count

    def clear(self, key: str) -> None:
        self._windows.pop(key, None)
