"""Sends batches to the edge until it confirms them: the HTTP contract, and when to try again."""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import aiohttp
import msgspec

REQUEST_SECONDS = 60.0
GIVE_UP_AFTER_SECONDS = 120.0
FIRST_BACKOFF_SECONDS = 0.25
LONGEST_BACKOFF_SECONDS = 15.0
_MAX_ANSWER_BYTES = 8 * 1024 * 1024
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class GaveUp(Exception):
    """A batch was not confirmed in time; the message says what the last attempt met."""


class NotAccepted(Exception):
    """The server will not take such a request however often it is sent (401, 404, …)."""


class NotLetIn(NotAccepted):
    """The server wants other credentials (401, 403)."""


class _ItemError(msgspec.Struct):
    field: str | None = None
    detail: str | None = None


class _Item(msgspec.Struct):
    index: int
    status: str
    error: _ItemError | None = None


class _Result(msgspec.Struct):
    """The body of 202, and of 422 when every item is bad."""

    items: list[_Item]


class _Problem(msgspec.Struct):
    title: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """One event of a batch that the edge refused; `index` counts from 0."""

    index: int
    field: str
    detail: str


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    retry_after: float | None


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a batch is tried, in seconds from its first attempt; and what tells the time."""

    give_up_after: float = GIVE_UP_AFTER_SECONDS
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random


class Delivery:
    """One edge; several batches may be sent at once."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        patience: Patience,
        on_wait: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        """`on_wait` hears why a batch has to wait, and None when one was answered."""
        self._http = http
        self._url = f"{url.rstrip('/')}/analytics/events"
        self._patience = patience
        self._on_wait = on_wait

    async def send(self, events: Sequence[bytes]) -> list[Rejection]:
        """Send events (JSON objects) until each is confirmed or rejected; return the rejected.

        The same events go out each time, so a batch that arrived unseen is not counted twice.
        Raises GaveUp and NotAccepted.
        """
        answer = await self._until_answered(b"[" + b",".join(events) + b"]")
        if answer.status == 413:
            return await self._in_halves(events)
        if answer.status in (401, 403):
            raise NotLetIn(self._said(answer))
        if answer.status not in (202, 422):
            raise NotAccepted(self._said(answer))
        return self._rejections(answer, len(events))

    async def _in_halves(self, events: Sequence[bytes]) -> list[Rejection]:
        # A proxy before the edge may take less than the edge does.
        if len(events) == 1:
            return [Rejection(0, "event", f"{len(events[0]):,} bytes are too much for the server")]
        half = len(events) // 2
        rejections = await self.send(events[:half])
        for one in await self.send(events[half:]):
            rejections.append(Rejection(one.index + half, one.field, one.detail))
        return rejections

    async def _until_answered(self, body: bytes) -> _Answer:
        patience = self._patience
        deadline = patience.clock() + patience.give_up_after
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            asked: float | None = None
            try:
                answer = await self._attempt(body)
            except TimeoutError:
                reason = f"{self._url} did not answer in time"
            except (aiohttp.ClientError, OSError) as error:
                reason = _reason(error)
            else:
                if answer.status not in _TRY_AGAIN:
                    self._on_wait(None)
                    return answer
                reason, asked = self._said(answer), answer.retry_after
            left = deadline - patience.clock()
            if left <= 0:
                raise GaveUp(reason)
            self._on_wait(reason)
            # Between half and all of the backoff: senders that failed together come back apart.
            pause = max(backoff * (0.5 + patience.jitter() / 2), asked or 0.0)
            await patience.sleep(min(pause, left))
            backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)

    async def _attempt(self, body: bytes) -> _Answer:
        async with self._http.post(
            self._url,
            data=body,
            headers={"Content-Type": "application/json", "Accept": "application/json"},
            timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS, sock_connect=10),
            allow_redirects=False,
        ) as response:
            pieces: list[bytes] = []
            size = 0
            async for piece in response.content.iter_chunked(64 * 1024):
                pieces.append(piece)
                size += len(piece)
                if size > _MAX_ANSWER_BYTES:
                    raise NotAccepted(
                        f"{self._url} answered with more than {_MAX_ANSWER_BYTES:,} bytes"
                    )
            retry_after = _seconds(response.headers.get("Retry-After"))
            return _Answer(response.status, b"".join(pieces), retry_after)

    def _rejections(self, answer: _Answer, count: int) -> list[Rejection]:
        try:
            result = msgspec.json.decode(answer.body, type=_Result)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise NotAccepted(self._said(answer)) from error
        if sorted(item.index for item in result.items) != list(range(count)):
            raise NotAccepted(
                f"{self._url} answered for {len(result.items):,} events, {count:,} were sent"
            )
        return [
            Rejection(
                item.index,
                (item.error and item.error.field) or "event",
                (item.error and item.error.detail) or "rejected without a reason",
            )
            for item in result.items
            if item.status != "accepted"
        ]

    def _said(self, answer: _Answer) -> str:
        try:
            problem = msgspec.json.decode(answer.body, type=_Problem)
        except (msgspec.DecodeError, UnicodeDecodeError):
            problem = _Problem()
        words = ": ".join(part for part in (problem.title, problem.detail) if part)
        return f"{self._url} answered {answer.status}" + (f" ({words})" if words else "")


def _seconds(retry_after: str | None) -> float | None:
    # The edge names seconds. A date, which HTTP allows too, is left to the backoff.
    if retry_after is None or not (retry_after.isascii() and retry_after.isdecimal()):
        return None
    return float(retry_after)


def _reason(error: aiohttp.ClientError | OSError) -> str:
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno:
        return f"{error.host}:{error.port}: {os.strerror(error.os_error.errno)}"
    return str(error) or type(error).__name__
