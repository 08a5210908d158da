"""Faults of POST /v1/billing/meter_events: scripted ones first, then seeded random ones."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

# Answered instead of doing anything: status, error type, code, headers.
ANSWERED: Final[dict[str, tuple[int, str, str | None, dict[str, str]]]] = {
    "429": (429, "invalid_request_error", "rate_limit", {}),
    "429-after-0": (429, "invalid_request_error", "rate_limit", {"Retry-After": "0"}),
    "429-after-1": (429, "invalid_request_error", "rate_limit", {"Retry-After": "1"}),
    "429-long": (429, "invalid_request_error", "rate_limit", {"Retry-After": "3600"}),
    "lock": (429, "invalid_request_error", "lock_timeout", {}),
    "409": (409, "invalid_request_error", "idempotency_key_in_use", {}),
    "500": (500, "api_error", None, {}),
    "503": (503, "api_error", None, {}),
    "400": (400, "invalid_request_error", None, {"Stripe-Should-Retry": "false"}),
    "403": (403, "invalid_request_error", None, {}),
}
# What a proxy between says: no JSON.
NOT_JSON: Final = "502-html"
# Not counted, or counted; the 500 is kept under the idempotency key and answered again.
KEPT_500: Final = "500-kept"
COUNTED_500: Final = "500-counted"
# Counted, then: no answer until the caller leaves; closed; closed within the body.
LOST: Final = "lost"
CUT: Final = "cut"
CUT_BODY: Final = "cut-body"
SLOW: Final = "slow"
# Plays in a script for a call that succeeds.
NONE: Final = "ok"

KINDS: Final = {
    *ANSWERED, NOT_JSON, KEPT_500, COUNTED_500, LOST, CUT, CUT_BODY, SLOW, NONE,
}  # fmt: skip
RANDOM: Final = ("429", "429-after-0", "429-after-1", "500", LOST, CUT, SLOW)
DEFAULT_SECONDS: Final = {LOST: 60.0, SLOW: 1.0}


@dataclass(frozen=True, slots=True)
class Fault:
    """`seconds` is how long SLOW takes, and how long at most LOST holds the connection."""

    kind: str
    seconds: float

    @classmethod
    def of(cls, kind: str, seconds: float | None = None) -> "Fault":
        if kind not in KINDS:
            raise ValueError(f"There is no fault {kind!r}; choose from {sorted(KINDS)}.")
        return cls(kind, DEFAULT_SECONDS.get(kind, 0.0) if seconds is None else seconds)


class Faults:
    def __init__(self) -> None:
        self._script: deque[Fault] = deque()
        self._rate = 0.0
        self._random = Random(0)
        self._kinds: Sequence[Fault] = ()
        self.done: Counter[str] = Counter()

    def script(self, faults: Iterable[Fault]) -> None:
        """Adds faults for the next calls, one for each."""
        self._script.extend(faults)

    def at_random(self, rate: float, seed: int, faults: Sequence[Fault]) -> None:
        self._rate, self._random, self._kinds = rate, Random(seed), tuple(faults)

    @property
    def scripted(self) -> int:
        return len(self._script)

    def next(self) -> Fault | None:
        fault = None
        if self._script:
            fault = self._script.popleft()
        elif self._rate and self._random.random() < self._rate:
            fault = self._random.choice(self._kinds)
        if fault is None or fault.kind == NONE:
            return None
        self.done[fault.kind] += 1
        return fault
