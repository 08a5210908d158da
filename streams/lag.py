"""How far a process is behind on the partitions that it has: in messages, and in seconds."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import Final

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from schemas.metrics.consumers import LAG, OLDEST
from schemas.metrics.instruments import at_scrape
from schemas.topics import registered_name

ASK_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a partition's messages stand: the first offset that is not finished.

    `arrived`: when the message there arrived (LogAppendTime, epoch ms); None: it was not read yet.
    """

    place: TopicPartition
    first: int
    arrived: int | None


class ConsumerLag:
    """Shown at each scrape; `look` asks for the ends of the partitions before it."""

    def __init__(
        self,
        standings: Callable[[], Iterable[Standing]],
        ends: Callable[[Sequence[TopicPartition]], Awaitable[Mapping[TopicPartition, int]]],
        *,
        clock: Callable[[], float] = time,
    ) -> None:
        """`ends`: may raise KafkaError. `clock`: epoch seconds."""
        self._standings = standings
        self._ends = ends
        self._clock = clock
        self._known: dict[TopicPartition, int] = {}
        at_scrape(LAG, self._lag)
        at_scrape(OLDEST, self._oldest)

    async def look(self) -> None:
        """Asks Kafka; when it does not answer, what it said last stands."""
        places = [each.place for each in self._standings()]
        self._known = {place: end for place, end in self._known.items() if place in places}
        if not places:
            return
        try:
            async with asyncio.timeout(ASK_SECONDS):
                self._known |= await self._ends(places)
        except (KafkaError, OSError, TimeoutError):
            return

    def _lag(self) -> dict[tuple[str, ...], float]:
        return {
            (registered_name(each.place.topic), str(each.place.partition)): max(
                0, self._known[each.place] - each.first
            )
            for each in self._standings()
            if each.place in self._known
        }

    def _oldest(self) -> dict[tuple[str, ...], float]:
        now = self._clock()
        oldest: dict[tuple[str, ...], float] = defaultdict(float)
        for each in self._standings():
            topic = (registered_name(each.place.topic),)
            age = 0.0 if each.arrived is None else now - each.arrived / 1000
            oldest[topic] = max(oldest[topic], age)
        return oldest
