"""Server-sent events that go on for minutes: kept alive, and ended when it is time."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Annotated, Final

from fastapi import Depends, Header
from fastapi.sse import KEEPALIVE_COMMENT

from api.identity.access import Held, StillHeld
from api.state import Ending

KEEP_ALIVE_SECONDS: Final = 15.0
"""So often a comment is sent, and credentials are looked at again."""
LONGEST_SECONDS: Final = 300
"""A client that still watches then connects again."""
RETRY_MS: Final = 1000
HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "private, no-store",
    # nginx would hold back what is to be seen at once.
    "X-Accel-Buffering": "no",
}
_CHUNK_BYTES: Final = 65_536


LastEventId = Annotated[
    str,
    Header(
        alias="Last-Event-ID",
        description="The `id` of the last event that was seen: it goes on behind that.",
    ),
]
"""What a browser's EventSource sends when it connects again."""


@dataclass(frozen=True, slots=True)
class Ends:
    """What ends a stream before its time: the API's own end, and credentials that do not hold."""

    ending: asyncio.Event
    held: Held


async def _ends(ending: Ending, held: StillHeld) -> Ends:
    return Ends(ending, held)


StreamEnds = Annotated[Ends, Depends(_ends)]
"""A parameter of a route that declares `access`."""


async def kept_alive(
    news: AsyncGenerator[Sequence[bytes], None],
    ends: Ends,
    *,
    first: Sequence[bytes] = (),
    seconds: float = LONGEST_SECONDS,
    keep_alive: float = KEEP_ALIVE_SECONDS,
) -> AsyncGenerator[bytes, None]:
    """What goes over the wire: `first`, then the frames of `news` as they come, until those end.

    For so many seconds at most; 0: `first` alone. Every `keep_alive` seconds there is a comment.
    """
    deadline = monotonic() + seconds
    look_at = monotonic() + keep_alive
    for chunk in _chunks(first):
        yield chunk
    ended = asyncio.create_task(ends.ending.wait())
    coming = asyncio.create_task(_next(news))
    try:
        while (now := monotonic()) < deadline:
            await asyncio.wait(
                {coming, ended},
                timeout=max(0.0, min(look_at, deadline) - now),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if ended.done():
                return
            if monotonic() >= look_at:
                if not await ends.held():
                    return
                look_at = monotonic() + keep_alive
                yield KEEPALIVE_COMMENT
            if coming.done():
                frames = coming.result()
                if frames is None:
                    return
                for chunk in _chunks(frames):
                    yield chunk
                coming = asyncio.create_task(_next(news))
    finally:
        for each in (ended, coming):
            each.cancel()
        await asyncio.gather(ended, coming, return_exceptions=True)
        await news.aclose()


async def _next(news: AsyncGenerator[Sequence[bytes], None]) -> Sequence[bytes] | None:
    return await anext(news, None)


def _chunks(frames: Iterable[bytes]) -> Iterator[bytes]:
    """The frames in pieces of some size: each piece is a write to the socket."""
    chunk = bytearray()
    for frame in frames:
        chunk += frame
        if len(chunk) >= _CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    if chunk:
        yield bytes(chunk)
