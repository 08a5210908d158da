"""For how long a worker may take its partitions for its own."""

from collections.abc import Callable
from time import monotonic


class LeaseOver(Exception):
    """Others may own this worker's partitions by now: it must not write any more."""


class Lease:
    """Renewed by each heartbeat that the group's coordinator answered; over one session later.

    A coordinator gives partitions to others when it has heard nothing for a session. A worker
    that was frozen for longer must not go on where it stood when it wakes up.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._renewed = clock()

    @property
    def age(self) -> float:
        """Seconds since the last sign of life that was answered."""
        return self._clock() - self._renewed

    def now(self) -> float:
        """The moment to renew by, taken before the heartbeat is sent."""
        return self._clock()

    def renew(self, sent_at: float) -> None:
        """The heartbeat that was sent at this moment was answered; called from any thread."""
        self._renewed = max(self._renewed, sent_at)

    def must_hold(self) -> None:
        """Raises LeaseOver when others may own the partitions."""
        age = self.age
        if age > self.seconds:
            raise LeaseOver(
                f"Kafka has answered no heartbeat for {age:.1f} s, so that others may own the "
                "users of this worker; it was frozen, or Kafka was away"
            )
