"""When each API key was used last: remembered here, published once a minute."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime
from typing import Final, Self

import structlog

from api.publishing import KafkaUnavailable, Message, Publisher
from schemas.api_keys import ApiKeyUse
from schemas.topics import API_KEY_USES

log = structlog.get_logger()

PUBLISH_SECONDS: Final = 60.0
STOP_SECONDS: Final = 1.0
MAX_PENDING: Final = 100_000
_AT_ONCE: Final = 1_000


class KeyUses:
    """Remembers uses without waiting for anything; a task of its own publishes them."""

    def __init__(
        self,
        publisher: Publisher,
        clock: Callable[[], datetime],
        *,
        every: float = PUBLISH_SECONDS,
        max_pending: int = MAX_PENDING,
    ) -> None:
        self._publisher = publisher
        self._clock = clock
        self._every = every
        self._max_pending = max_pending
        self._pending: dict[str, datetime] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._publish_for_ever())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._publish()

    def used(self, key_id: str) -> None:
        """Remembers that this key was used now. Never waits, never raises."""
        if key_id in self._pending or len(self._pending) < self._max_pending:
            self._pending[key_id] = self._clock()

    async def _publish_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            await self._publish()

    async def _publish(self) -> None:
        """Publishes what is pending; what Kafka does not take waits for the next time."""
        uses = self._pending
        self._pending = {}
        while uses:
            some = [uses.popitem() for _ in range(min(_AT_ONCE, len(uses)))]
            try:
                await self._publisher.publish([_message(*use) for use in some])
            except KafkaUnavailable:
                self._keep({**uses, **dict(some)})
                return
            except asyncio.CancelledError:
                self._keep({**uses, **dict(some)})
                raise

    def _keep(self, uses: dict[str, datetime]) -> None:
        for key_id, at in uses.items():
            if len(self._pending) >= self._max_pending:
                return
            self._pending.setdefault(key_id, at)


def _message(key_id: str, at: datetime) -> Message:
    use = ApiKeyUse(key_id=key_id, last_used_at=at)
    return Message(API_KEY_USES.name, key_id.encode(), use.model_dump_json().encode())
