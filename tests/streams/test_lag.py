"""How far behind a process is: by what Kafka says when it is asked, and by the broker's stamps."""

import asyncio
from collections.abc import Mapping, Sequence

from aiokafka.errors import KafkaConnectionError
from aiokafka.structs import TopicPartition

from schemas.metrics.consumers import LAG, OLDEST
from streams import lag
from streams.lag import ConsumerLag, Standing
from tests.scrapes import Scrape, shown_here

VIEWS = TopicPartition("test.page-views", 0)
OTHERS = TopicPartition("test.page-views", 1)
CUSTOM = TopicPartition("test.custom-events", 0)
NOW = 1_795_000_000.0


class World:
    def __init__(self, *standings: Standing) -> None:
        self.standings = list(standings)
        self.ends: dict[TopicPartition, int] = {VIEWS: 120, OTHERS: 7, CUSTOM: 50}
        self.is_away = False
        self.hangs = False
        self.lag = ConsumerLag(lambda: self.standings, self._ask, clock=lambda: NOW)

    async def _ask(self, places: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        if self.hangs:
            await asyncio.Event().wait()
        if self.is_away:
            raise KafkaConnectionError
        return {place: self.ends[place] for place in places}

    async def scrape(self) -> Scrape:
        await self.lag.look()
        return shown_here("sink")


def arrived(seconds_ago: float) -> int:
    return int((NOW - seconds_ago) * 1000)


async def test_the_lag_goes_from_the_first_that_is_not_finished_to_the_end() -> None:
    world = World(Standing(VIEWS, 100, arrived(4)), Standing(OTHERS, 7, None))
    scrape = await world.scrape()
    assert scrape.value(LAG, topic="page-views", partition="0") == 20
    assert scrape.value(LAG, topic="page-views", partition="1") == 0


async def test_the_oldest_of_a_topics_partitions_counts() -> None:
    world = World(
        Standing(VIEWS, 100, arrived(4)),
        Standing(OTHERS, 5, arrived(90)),
        Standing(CUSTOM, 50, None),
    )
    scrape = await world.scrape()
    assert scrape.value(OLDEST, topic="page-views") == 90
    assert scrape.value(OLDEST, topic="custom-events") == 0
    assert len(scrape.series(OLDEST)) == 2


async def test_a_partition_that_went_to_another_is_not_shown_any_more() -> None:
    world = World(Standing(VIEWS, 100, arrived(4)), Standing(OTHERS, 5, None))
    await world.scrape()
    world.standings.pop()
    scrape = await world.scrape()
    assert scrape.series(LAG) == [{"topic": "page-views", "partition": "0"}]


async def test_while_kafka_does_not_answer_what_it_said_last_stands() -> None:
    world = World(Standing(VIEWS, 100, None))
    assert (await world.scrape()).value(LAG) == 20
    world.is_away = True
    world.standings = [Standing(VIEWS, 110, None)]
    assert (await world.scrape()).value(LAG) == 10
    # Others have moved the group, or the topic was made anew: never below nothing.
    world.standings = [Standing(VIEWS, 500, None)]
    assert (await world.scrape()).value(LAG) == 0


async def test_a_kafka_that_hangs_holds_nobody_up() -> None:
    world = World(Standing(VIEWS, 100, None))
    world.hangs = True
    before = lag.ASK_SECONDS
    async with asyncio.timeout(before + 3):
        assert (await world.scrape()).series(LAG) == []


async def test_without_partitions_nobody_is_asked() -> None:
    world = World()
    world.hangs = True
    scrape = await world.scrape()
    assert scrape.series(LAG) == scrape.series(OLDEST) == []
