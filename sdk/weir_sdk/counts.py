"""Counts what became of every event, and says at intervals in the log what was lost and why."""

import logging
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Final

log = logging.getLogger("weir_sdk")

LOG_SECONDS: Final = 60.0
_MAX_REASONS: Final = 20


@dataclass(frozen=True, slots=True)
class Counts:
    """At one moment: recorded = sent + rejected + dropped + buffered.

    `sent` are those that Weir confirmed, `rejected` those that it cannot use, `dropped` those
    that were given up; of these, Weir may have the `in_doubt` all the same. `buffered` are still
    on their way. Not recorded at all were the `skipped` and the `sampled_out`.
    """

    recorded: int
    sent: int
    rejected: int
    dropped: int
    in_doubt: int
    buffered: int
    skipped: int
    sampled_out: int


class Tally:
    """The counters behind Counts. Every change is one step under a lock."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """All at 0, as in a process that was just forked, with a lock that nobody holds."""
        self.lock = threading.Lock()
        self.taken = 0
        self.sent = 0
        self.rejected = 0
        self.dropped = 0
        self.in_doubt = 0
        self.overflowed = 0
        self.skipped = 0
        self.sampled_out = 0
        self._reasons: Counter[str] = Counter()
        self._reported_overflow = 0
        self._reported_at: float | None = None

    def skip(self) -> None:
        with self.lock:
            self.skipped += 1

    def sample_out(self) -> None:
        with self.lock:
            self.sampled_out += 1

    def overflow(self) -> None:
        """One was dropped because the buffer is full."""
        with self.lock:
            self.overflowed += 1

    def unreadable(self, why: str) -> None:
        """One was dropped before it came into the buffer."""
        with self.lock:
            self.taken += 1
            self.dropped += 1
            self._note(f"dropped: a request could not be read ({why})", 1)

    def settle(self, *, sent: int, rejected: int, reason: str | None = None) -> None:
        """So many of those taken from the buffer were confirmed, and so many rejected."""
        with self.lock:
            self.sent += sent
            self.rejected += rejected
            if reason is not None:
                self._note(f"rejected by Weir, such as {reason}", rejected)

    def drop(self, count: int, reason: str, *, in_doubt: bool = False) -> None:
        """So many of those taken from the buffer were given up."""
        with self.lock:
            self.dropped += count
            if in_doubt:
                self.in_doubt += count
            self._note(f"dropped: {reason}", count)

    def _note(self, reason: str, count: int) -> None:
        # Reasons carry texts of others: so many different ones are told apart.
        if reason not in self._reasons and len(self._reasons) >= _MAX_REASONS:
            reason = "other reasons"
        self._reasons[reason] += count

    def counts(self, waiting: int) -> Counts:
        """As of now, with so many in the buffer. Call it with the lock held."""
        dropped = self.dropped + self.overflowed
        under_way = self.taken - self.sent - self.rejected - self.dropped
        return Counts(
            recorded=self.taken + waiting + self.overflowed,
            sent=self.sent,
            rejected=self.rejected,
            dropped=dropped,
            in_doubt=self.in_doubt,
            buffered=waiting + under_way,
            skipped=self.skipped,
            sampled_out=self.sampled_out,
        )

    def report(self, now: float, *, finally_: bool = False) -> None:
        """Logs what was lost since the last line, at most one line a minute, and one at the end."""
        with self.lock:
            overflow = self.overflowed - self._reported_overflow
            due = self._reported_at is None or now - self._reported_at >= LOG_SECONDS
            if not (overflow or self._reasons) or not (due or finally_):
                return
            reasons = self._reasons.most_common()
            if overflow:
                reasons.insert(0, ("dropped: the buffer was full", overflow))
            self._reasons.clear()
            self._reported_overflow = self.overflowed
            self._reported_at = now
        log.warning("events lost: %s", "; ".join(f"{count} {reason}" for reason, count in reasons))
