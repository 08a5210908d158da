"""What is done about a request and a job: charge, generate, tell; each step may be repeated."""

import asyncio
from functools import partial
from traceback import format_tb
from typing import Final
from uuid import UUID

import structlog
from aiokafka.structs import TopicPartition

from schemas.generation import GenerationJob, generation_id
from streams.dead_letters import refused
from streams.failures import Invalid, Retryable
from streams.group.work_lane import Slot
from streams.messages import Message
from streams.records import Record
from streams.social.generator import Generator, Outcome, Report
from streams.social.intake import read_job, read_request
from streams.social.measures import measured
from streams.social.outputs import Outputs
from streams.writer import Writer

log = structlog.get_logger()

PAUSES: Final = (1.0, 2.0, 4.0)
"""Seconds between attempts of a post when the media store is away; then the worker ends."""

TRIES: Final = 3
"""A post that ends in an error of ours so often has failed."""


class Posts:
    """Everything that follows from a message is confirmed by Kafka before the message is done."""

    def __init__(
        self,
        generator: Generator,
        writer: Writer,
        outputs: Outputs,
        report: Report,
        *,
        partitions: int,
    ) -> None:
        """`report` is told of steps; `partitions`: of every topic that is keyed by user."""
        self._generator = generator
        self._writer = writer
        self._outputs = outputs
        self._report = report
        self._partitions = partitions
        self._running: dict[UUID, asyncio.Task[Outcome]] = {}

    async def admit(self, place: TopicPartition, record: Record, _: Slot) -> None:
        """Asks for the credits of a request; the quotas worker hands the job on."""
        try:
            request = read_request(record, place.partition, self._partitions)
        except Invalid as failure:
            await self._refuse(place, record, failure)
            return
        await self._writer.write([self._outputs.spend(place.partition, request, record)])

    async def generate_social_post(self, place: TopicPartition, record: Record, slot: Slot) -> None:
        """Makes the post of a job, and lets everybody know what became of it.

        Refund, result and reply follow from the outcome that is stored: a repeated job ends alike.
        Raises Retryable when the media store is away for too long.
        """
        try:
            job = read_job(record, place.partition, self._partitions)
        except Invalid as failure:
            await self._refuse(place, record, failure)
            return
        outcome = await self._outcome(job, slot)
        await self._writer.write(self._leaving(place.partition, record, job, outcome))

    def _leaving(
        self, partition: int, record: Record, job: GenerationJob, outcome: Outcome
    ) -> list[Message]:
        result = outcome.result
        leaving = []
        # Of a post that was asked for again the first job has written them.
        if not (job.repeated and outcome.found):
            if result.credits_refunded:
                leaving.append(self._outputs.refund(partition, result))
            leaving.append(self._outputs.result(partition, result))
        if (reply := self._outputs.reply(record, result)) is not None:
            leaving.append(reply)
        return leaving

    async def _outcome(self, job: GenerationJob, slot: Slot) -> Outcome:
        """The outcome; who asks for a post that is being made waits for that one, at no cost."""
        key = generation_id(job.user_id, job.post_id)
        running = self._running.get(key)
        is_first = running is None
        if running is None:
            running = asyncio.create_task(measured(partial(self._made, job)))
            self._running[key] = running
            running.add_done_callback(lambda _: self._running.pop(key, None))
        else:
            slot.free()
        try:
            outcome = await asyncio.shield(running)
        except asyncio.CancelledError:
            # All who wait are of one partition, which is given up.
            running.cancel()
            raise
        return outcome if is_first else Outcome(outcome.result, found=True)

    async def _made(self, job: GenerationJob) -> Outcome:
        pauses = iter(PAUSES)
        errors = 0
        while True:
            try:
                if errors == TRIES:
                    return await self._generator.give_up(job)
                return await self._generator.generate(job, self._report)
            except Retryable as error:
                pause = next(pauses, None)
                if pause is None:
                    raise
                log.warning("a post waits for the media store", error=str(error))
                await asyncio.sleep(pause)
            except Exception as error:
                if errors == TRIES:
                    raise
                errors += 1
                # Where, not what: the error's message may quote the prompt.
                log.error(  # noqa: TRY400
                    "a post ended in an error",
                    post_id=str(job.post_id),
                    time=errors,
                    error=type(error).__name__,
                    traceback="".join(format_tb(error.__traceback__)),
                )

    async def _refuse(self, place: TopicPartition, record: Record, failure: Invalid) -> None:
        letter = refused(place, record, failure)
        await self._writer.write([self._outputs.dead_letter(letter)])
