"""Hours near each other of which Stripe has more of the one, and as much less of the other.

Stripe was told the time of a use, or of sending it when that is earlier; the ledger knows when
Stripe answered. Of what a fast clock dated ahead the two may be in different hours: nothing is lost
then, and a correction would bill it twice.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

NEAR: Final = timedelta(hours=24)
"""So far events may be dated ahead, and about so long a report is tried again."""


@dataclass(frozen=True, slots=True)
class HourDiffers:
    """Units that Stripe was told of the hour at `at`, and has.

    `settled`: Stripe was told long enough ago. `moved`: what other hours make up for; `told` is
    with it.
    """

    at: datetime
    told: int
    has: int
    settled: bool
    moved: int = 0

    @property
    def short(self) -> int:
        """Units that Stripe lacks; below 0: that it has too much."""
        return self.told - self.has


def netted(hours: Iterable[HourDiffers]) -> list[HourDiffers]:
    """All, in the order of time, as they are when hours near each other make up for one another.

    What is short takes the earliest excess that is near it: as each reaches equally far, no other
    way leaves less. What is settled goes first, as that alone is corrected.
    """
    ordered = sorted(hours, key=lambda each: each.at)
    moved = dict.fromkeys((each.at for each in ordered), 0)
    over = [each for each in ordered if each.short < 0]
    for settled in (True, False):
        first = 0
        for less in ordered:
            if less.short <= 0 or less.settled is not settled:
                continue
            while first < len(over) and over[first].at < less.at - NEAR:
                first += 1
            for more in over[first:]:
                if more.at > less.at + NEAR or moved[less.at] == -less.short:
                    break
                units = min(less.short + moved[less.at], -more.short - moved[more.at])
                moved[less.at] -= units
                moved[more.at] += units
    return [
        replace(each, told=each.told + moved[each.at], moved=each.moved + moved[each.at])
        for each in ordered
    ]
