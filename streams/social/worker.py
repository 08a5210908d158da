"""The social worker: one agent admits requests, the other makes the posts of jobs."""

import asyncio
from collections.abc import Mapping
from functools import partial
from itertools import chain
from typing import Final

from aiokafka.structs import TopicPartition

from schemas.topics import GENERATION_JOBS, GENERATION_REQUESTS, REPLIES
from streams.group.app import GroupApp, Membership
from streams.group.folder import instance_of
from streams.group.lease import Lease
from streams.group.log_reader import LogReader
from streams.group.member import WATCH_SECONDS, Member
from streams.group.reading import Event, Reading
from streams.group.topics import Description
from streams.group.work_lane import WorkLane, drain, traced
from streams.lag import ConsumerLag
from streams.records import Record
from streams.social.generator import Generator
from streams.social.outputs import Outputs
from streams.social.posts import Posts
from streams.social.progress import Progress
from streams.social.settings import SocialSettings
from streams.writer import Writer

ADMITTED_AT_ONCE: Final = 256
REVOKE_SECONDS: Final = 20.0
"""So long posts in the making may take to be finished when others take their users over."""

REBALANCE_SECONDS: Final = 30.0
STOP_SECONDS: Final = 4.0
FINISH_SECONDS: Final = 2.5


class SocialWorker:
    """Runs both agents: `start` joins the group, `wait_failed` ends only by raising."""

    def __init__(
        self, settings: SocialSettings, generator: Generator, topics: Mapping[str, Description]
    ) -> None:
        """`topics`: as Kafka describes them, by the registry's names."""
        self._generator = generator
        self._lease = Lease(settings.session_timeout)
        self._writer = Writer(settings)
        self._log = LogReader(settings)
        self._patience = REVOKE_SECONDS
        self._watchers: list[asyncio.Task[None]] = []
        partitions = topics[GENERATION_JOBS.name].partitions
        outputs = Outputs(settings, topics[REPLIES.name].partitions)
        self._progress = Progress(self._writer, outputs, partitions)
        self._posts = Posts(
            generator, self._writer, outputs, self._progress.report, partitions=partitions
        )
        self._admitting = asyncio.Semaphore(ADMITTED_AT_ONCE)
        self._generating = asyncio.Semaphore(settings.in_flight)
        requests = settings.topic(GENERATION_REQUESTS.name)
        jobs = settings.topic(GENERATION_JOBS.name)
        membership = Membership(
            settings,
            settings.group,
            instance_of(settings.folder),
            settings.folder / "faust",
            session_timeout=settings.session_timeout,
            revoke_timeout=REBALANCE_SECONDS,
        )
        self._app = GroupApp(membership, self._lease, [requests, jobs], drains=self._drain)
        self._member = Member("social", self._app, self._lease, self._drop_lanes)
        reading = partial(Reading[WorkLane], self._app, self._log, failed=self._member.fail)
        self._requests = reading(requests, agent="admit", take=self._admit)
        self._jobs = reading(jobs, agent="generate_social_post", take=self._generate)
        readings = (self._requests, self._jobs)
        self.lag = ConsumerLag(
            lambda: chain.from_iterable(each.standings() for each in readings), self._log.ends_of
        )
        self._app.on_partitions_revoked.connect(self._close_lanes)
        self._app.on_rebalance_complete.connect(self._open_lanes)
        self._app.finalize()

    async def start(self) -> None:
        """Joins the group. Raises aiokafka's KafkaError when Kafka cannot be reached."""
        await self._writer.start()
        await self._member.start([self._requests, self._jobs])
        self._watchers += [
            asyncio.create_task(self._progress.run()),
            asyncio.create_task(self._watch()),
        ]

    async def assigned(self) -> None:
        """Returns when the first assignment is complete."""
        await self._member.assigned()

    def remaining_changes(self) -> int:
        """Changes of its tables that are to be read before it takes messages; 0: all are there."""
        return self._member.remaining_changes()

    def problems(self) -> dict[str, str]:
        """What keeps the worker from its work now: the part → a sentence. Empty: nothing."""
        found = self._member.problems()
        if problem := self._generator.problem():
            found["openai"] = problem
        return found

    async def wait_failed(self) -> None:
        """Raises why the worker cannot go on."""
        await self._member.failure

    async def stop(self) -> bool:
        """Leaves the group; posts in the making may end in a moment. False: not in time."""
        self._patience = FINISH_SECONDS
        left = await self._member.leave(STOP_SECONDS, self._log, self._writer)
        for task in self._watchers:
            task.cancel()
        return left

    def _admit(self, lane: WorkLane, record: Record, event: Event) -> None:
        place = TopicPartition(self._requests.topic, lane.partition)
        work = partial(self._posts.admit, place, record)
        lane.submit(event, record, traced("admission", place.topic, record, work))

    def _generate(self, lane: WorkLane, record: Record, event: Event) -> None:
        place = TopicPartition(self._jobs.topic, lane.partition)
        work = partial(self._posts.generate_social_post, place, record)
        lane.submit(event, record, traced("generation", place.topic, record, work))

    async def _open_lanes(self, *_: object, **__: object) -> None:
        self._drop_lanes()
        for reading, slots in ((self._requests, self._admitting), (self._jobs, self._generating)):
            for place in self._app.consumer.assignment():
                if place.topic == reading.topic:
                    lane = WorkLane(place.partition, slots, self._member.fail)
                    reading.open(place.partition, lane)

    async def _close_lanes(self, *_: object, **__: object) -> None:
        self._drop_lanes()

    async def _drain(self) -> None:
        await drain(self._lanes(), self._patience)

    def _lanes(self) -> list[WorkLane]:
        return [*chain(self._requests.lanes.values(), self._jobs.lanes.values())]

    def _drop_lanes(self) -> None:
        for lane in self._lanes():
            lane.close()
        self._requests.lanes.clear()
        self._jobs.lanes.clear()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if self._lanes():
                self._member.must_hold()
