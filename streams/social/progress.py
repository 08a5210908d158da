"""Tells whoever watches what happens to posts: soon, in order, and never at a post's cost."""

import asyncio
from collections import deque
from typing import Final

import structlog
from aiokafka.errors import KafkaError

from schemas.generation import GenerationProgress
from schemas.partitioning import partition_for
from streams.social.outputs import Outputs
from streams.writer import Writer

log = structlog.get_logger()

MAX_WAITING: Final = 10_000
"""Steps that are not sent yet; of more the oldest are left out."""


class Progress:
    """Sends steps as long as it runs."""

    def __init__(self, writer: Writer, outputs: Outputs, partitions: int) -> None:
        self._writer = writer
        self._outputs = outputs
        self._partitions = partitions
        self._steps: deque[GenerationProgress] = deque(maxlen=MAX_WAITING)
        self._any = asyncio.Event()

    def report(self, step: GenerationProgress) -> None:
        """Sends a step; returns at once."""
        self._steps.append(step)
        self._any.set()

    async def run(self) -> None:
        """Ends only when it is cancelled."""
        while True:
            await self._any.wait()
            self._any.clear()
            steps = [self._steps.popleft() for _ in range(len(self._steps))]
            try:
                await self._writer.write(
                    self._outputs.progress(
                        partition_for(step.user_id.encode(), self._partitions), step
                    )
                    for step in steps
                )
            except KafkaError as error:
                log.warning("steps of posts are not told", count=len(steps), error=str(error))
