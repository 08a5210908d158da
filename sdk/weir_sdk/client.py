"""The client: sends events from code, awaited or in the background."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Self, TypedDict
from uuid import UUID

from weir_sdk.counts import Counts
from weir_sdk.delivery import Delivery
from weir_sdk.delivery_options import DeliveryOptions
from weir_sdk.http_transport import REQUEST_TIMEOUT, HttpTransport
from weir_sdk.messages import Message, MessageMaker
from weir_sdk.transport import Transport

WITHIN: Final = 10.0


def _utc_now() -> datetime:
    return datetime.now(UTC)


class DeliveryArguments(TypedDict, total=False):
    """Those of WeirClient's arguments that say how events wait and travel."""

    max_buffer: int
    flush_interval: float
    batch_size: int
    shutdown_timeout: float
    give_up_after: float
    compress: bool
    request_timeout: float


class WeirClient:
    """Sends events to Weir; one for a process, which middleware and code may share.

    Making it opens nothing: that happens with the first event, in a thread of its own, so it may
    stand at module level. `async with`, or `close`, delivers what is left.
    """

    def __init__(
        self,
        url: str | None = None,
        write_key: str | None = None,
        *,
        transport: Transport | None = None,
        source: str | None = None,
        max_buffer: int = 10_000,
        flush_interval: float = 0.5,
        batch_size: int = 500,
        shutdown_timeout: float = 5.0,
        give_up_after: float = 30.0,
        compress: bool | None = None,
        request_timeout: float | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        """Give `url` (and `write_key`) for HTTP, or a `transport`; times are in seconds.

        `compress` (True) and `request_timeout` (5) are HTTP's: a `transport` has its own.

        Raises ValueError for options that cannot work.
        """
        if transport is None:
            if url is None:
                raise ValueError("give the url of Weir's API, or a transport")
            transport = HttpTransport(
                url,
                write_key,
                compress=compress is not False,
                request_timeout=REQUEST_TIMEOUT if request_timeout is None else request_timeout,
            )
        elif url is not None:
            raise ValueError("give either a url or a transport")
        elif compress is not None or request_timeout is not None:
            raise ValueError("give compress and request_timeout to the transport")
        self._delivery = Delivery(
            transport,
            DeliveryOptions(
                max_buffer=max_buffer,
                flush_interval=flush_interval,
                batch_size=batch_size,
                shutdown_timeout=shutdown_timeout,
                give_up_after=give_up_after,
            ),
        )
        self._maker = MessageMaker(source)
        self._clock = clock
        self.write_key = write_key

    @property
    def delivery(self) -> Delivery:
        """Where the middleware puts what it saw."""
        return self._delivery

    @property
    def counts(self) -> Counts:
        """What became of the events of this process so far."""
        return self._delivery.counts()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Delivers what is left, in at most `shutdown_timeout`; the client may be used again."""
        await self._delivery.stop()

    async def event(
        self,
        event_type: str,
        path: str,
        *,
        user_id: str | None = None,
        visitor_id: str | None = None,
        metadata: Mapping[str, object] | None = None,
        occurred_at: datetime | None = None,
        event_id: str | UUID | None = None,
        source: str | None = None,
        within: float = WITHIN,
    ) -> str:
        """Sends an event and returns its `event_id` once Weir has confirmed it.

        Tries again for `within` seconds. Raises EventRejected, which names the field, and
        WeirUnavailable: then send it again with the error's `event_id`, and it counts once.
        """
        message = self._message(
            event_type, path, user_id, visitor_id, metadata, occurred_at, event_id, source
        )
        await self._delivery.deliver(message, within)
        return message.event_id

    async def page_view(
        self,
        path: str,
        *,
        user_id: str | None = None,
        visitor_id: str | None = None,
        metadata: Mapping[str, object] | None = None,
        occurred_at: datetime | None = None,
        event_id: str | UUID | None = None,
        source: str | None = None,
        within: float = WITHIN,
    ) -> str:
        """Sends a page view, as `event`."""
        return await self.event(
            "page_view",
            path,
            user_id=user_id,
            visitor_id=visitor_id,
            metadata=metadata,
            occurred_at=occurred_at,
            event_id=event_id,
            source=source,
            within=within,
        )

    async def conversion(
        self,
        path: str,
        *,
        user_id: str | None = None,
        visitor_id: str | None = None,
        metadata: Mapping[str, object] | None = None,
        occurred_at: datetime | None = None,
        event_id: str | UUID | None = None,
        source: str | None = None,
        within: float = WITHIN,
    ) -> str:
        """Sends a conversion, as `event`."""
        return await self.event(
            "conversion",
            path,
            user_id=user_id,
            visitor_id=visitor_id,
            metadata=metadata,
            occurred_at=occurred_at,
            event_id=event_id,
            source=source,
            within=within,
        )

    def enqueue(
        self,
        event_type: str,
        path: str,
        *,
        user_id: str | None = None,
        visitor_id: str | None = None,
        metadata: Mapping[str, object] | None = None,
        occurred_at: datetime | None = None,
        event_id: str | UUID | None = None,
        source: str | None = None,
    ) -> str:
        """Leaves an event for the background and returns its `event_id`, without waiting.

        From any thread, with or without an event loop. What becomes of it shows in `counts`.
        Raises EventRejected for what Weir would not take.
        """
        message = self._message(
            event_type, path, user_id, visitor_id, metadata, occurred_at, event_id, source
        )
        self._delivery.put(message)
        return message.event_id

    def _message(
        self,
        event_type: str,
        path: str,
        user_id: str | None,
        visitor_id: str | None,
        metadata: Mapping[str, object] | None,
        occurred_at: datetime | None,
        event_id: str | UUID | None,
        source: str | None,
    ) -> Message:
        return self._maker.make(
            event_type,
            path,
            now=self._clock(),
            user_id=user_id,
            visitor_id=visitor_id,
            metadata=metadata,
            occurred_at=occurred_at,
            event_id=event_id,
            source=source,
        )
