"""The middleware: sees each request of an ASGI application, and leaves the rest to a thread.

What happens here happens within the host's requests, so it is little: a tuple is made and put
into a buffer. Nothing of it may raise, wait, or change what the host and its server say.
"""

import inspect
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeAlias

from weir_sdk.asgi import AsgiApplication, AsgiMessage, Receive, Scope, Send
from weir_sdk.client import WeirClient
from weir_sdk.counts import Counts
from weir_sdk.limits import (
    MAX_ADDRESSES_BYTES,
    MAX_NAME_CHARACTERS,
    MAX_PATH_CHARACTERS,
)
from weir_sdk.page_views import Observation, PageViews, PathKind
from weir_sdk.transport import Transport
from weir_sdk.visitors import Visitors, client_address, is_sampled

log = logging.getLogger("weir_sdk")

Skip: TypeAlias = Iterable[str] | Callable[[Scope], bool]
FindUser: TypeAlias = Callable[[Scope], str | None]

_FAILED: Final = 500
_CLIENT_LEFT: Final = 499
_COMPLAIN_SECONDS: Final = 60.0
_MAX_HEADER_BYTES: Final = 4_096
_MAX_METHOD: Final = 32


class AnalyticsMiddleware:
    """Records a page view for each HTTP request of the application that it wraps.

    The README of this package says what is recorded, what each option does, and what happens
    when Weir is away.
    """

    def __init__(
        self,
        app: AsgiApplication,
        *,
        url: str | None = None,
        write_key: str | None = None,
        client: WeirClient | None = None,
        transport: Transport | None = None,
        path: PathKind = "real",
        skip: Skip = (),
        sample: float = 1.0,
        user: FindUser | None = None,
        client_address_header: str | None = None,
        trusted_proxies: int = 1,
        country_header: str | None = None,
        respect_privacy_signals: bool = True,
        visitor_secret: str | None = None,
        source: str | None = None,
        max_buffer: int = 10_000,
        flush_interval: float = 0.5,
        batch_size: int = 500,
        shutdown_timeout: float = 5.0,
        give_up_after: float = 30.0,
        compress: bool = True,
        request_timeout: float = 5.0,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Give `url` (and `write_key`), a `transport`, or a `client` to share its buffer.

        Raises ValueError or TypeError for options that cannot work.
        """
        _check(path, sample, trusted_proxies, user, skip)
        if client is None:
            client = WeirClient(
                url,
                write_key,
                transport=transport,
                max_buffer=max_buffer,
                flush_interval=flush_interval,
                batch_size=batch_size,
                shutdown_timeout=shutdown_timeout,
                give_up_after=give_up_after,
                compress=compress,
                request_timeout=request_timeout,
            )
        elif url is not None or transport is not None:
            raise ValueError("give either a client, or a url or transport")
        self._app = app
        self.client = client
        self._skip_prefixes, self._skip = _skipping(skip)
        self._sample = sample
        self._user = user
        self._address_header = _header_name(client_address_header)
        self._trusted_proxies = trusted_proxies
        self._country_header = _header_name(country_header)
        self._respect_privacy_signals = respect_privacy_signals
        self._visitors = Visitors(visitor_secret or client.write_key)
        self._make = PageViews(
            visitors=self._visitors,
            path=path,
            source=source,
            sample_rate=sample if sample < 1 else None,
        ).message
        self._delivery = client.delivery
        self._put = client.delivery.put
        self._clock = clock
        self._timer = timer
        self._complain_again_at = 0.0

    @property
    def counts(self) -> Counts:
        """What became of the requests of this process so far."""
        return self.client.counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind != "http":
            await (self._lifespan if kind == "lifespan" else self._app)(scope, receive, send)
            return
        if (self._skip_prefixes or self._skip) and self._skips(scope):
            await self._app(scope, receive, send)
            return
        watched = _Watched(self, scope, send)
        try:
            await self._app(scope, receive, watched)
        except BaseException as error:
            if not watched.recorded:
                watched.failed(error)
            raise
        if not watched.recorded:
            watched.record()

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def watched(message: AsgiMessage) -> None:
            if message["type"] in {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}:
                await self._stop()
            await send(message)

        await self._app(scope, receive, watched)

    async def _stop(self) -> None:
        try:
            await self.client.close()
        except Exception:
            log.exception("the last events could not be delivered")

    def _skips(self, scope: Scope) -> bool:
        try:
            path = scope["path"]
            skipped = any(
                path == prefix or path.startswith(prefix + "/") for prefix in self._skip_prefixes
            ) or (self._skip is not None and bool(self._skip(scope)))
        except Exception as error:  # noqa: BLE001 - the host's callable
            self._complain("skip", error)
            return False
        if skipped:
            self._delivery.tally.skip()
        return skipped

    def observe(self, scope: Scope, began: float, took: float, path: str, status: int) -> None:
        """Puts what there is to say about a request into the buffer."""
        headers = dict(scope["headers"])
        header = headers.get
        user: str | None = None
        address: str | None = None
        user_agent = header(b"user-agent", b"")[:_MAX_HEADER_BYTES]
        host = header(b"host", b"")[:_MAX_HEADER_BYTES]
        if not (
            self._respect_privacy_signals and (header(b"sec-gpc") == b"1" or header(b"dnt") == b"1")
        ):
            address = self._address(scope)
            user = self._user_of(scope)
        if self._sample < 1 and not self._samples(began, address, user_agent, host):
            self._delivery.tally.sample_out()
            return
        router_root = scope.get("root_path", "")
        mounted = "app_root_path" in scope
        seen: Observation = (
            self._make,
            began,
            took,
            scope["method"][:_MAX_METHOD],
            status,
            path[:MAX_PATH_CHARACTERS],
            scope["app_root_path"] if mounted else router_root,
            _template(scope),
            router_root,
            scope.get("path_params") if mounted else None,
            user,
            address,
            user_agent,
            host,
            header(b"referer", b"")[:_MAX_HEADER_BYTES],
            header(self._country_header, b"")[:_MAX_METHOD] if self._country_header else b"",
        )
        self._put(seen)

    def _address(self, scope: Scope) -> str:
        if (name := self._address_header) is not None:
            given = b",".join([value for each, value in scope["headers"] if each == name])
            if given:
                return client_address(given[-MAX_ADDRESSES_BYTES:], self._trusted_proxies)
        client = scope.get("client")
        return str(client[0])[:MAX_NAME_CHARACTERS] if client else ""

    def _samples(self, began: float, address: str | None, user_agent: bytes, host: bytes) -> bool:
        if address is None:
            return random.random() < self._sample  # noqa: S311 - a sample needs no secrecy
        return is_sampled(self._visitors.name(began, address, user_agent, host), self._sample)

    def _user_of(self, scope: Scope) -> str | None:
        find = self._user
        if find is None and "user" not in scope:
            return None
        try:
            user = _starlette_user(scope["user"]) if find is None else find(scope)
            return None if user is None else str(user)[:MAX_NAME_CHARACTERS]
        except Exception as error:  # noqa: BLE001 - the host's callable
            self._complain("user", error)
            return None

    def complain(self, error: Exception) -> None:
        """Counts and logs that a request could not be recorded."""
        tally = self._delivery.tally
        with tally.lock:
            tally.taken += 1
        tally.drop(1, f"a request could not be read ({type(error).__name__})")
        self._complain("the request", error)

    def _complain(self, what: str, error: Exception) -> None:
        now = time.monotonic()
        if now >= self._complain_again_at:
            self._complain_again_at = now + _COMPLAIN_SECONDS
            log.warning("%s could not be read: %r", what, error)

    def now(self) -> tuple[float, float]:
        """Seconds since 1970, and those of the timer."""
        return self._clock(), self._timer()

    @property
    def timer(self) -> Callable[[], float]:
        return self._timer


class _Watched:
    """The host's `send` for one request: sees the status go by, and the end of the body."""

    __slots__ = (
        "_began",
        "_middleware",
        "_path",
        "_scope",
        "_send",
        "_started",
        "_status",
        "recorded",
    )

    def __init__(self, middleware: AnalyticsMiddleware, scope: Scope, send: Send) -> None:
        self._middleware = middleware
        self._scope = scope
        self._send = send
        self._status = 0
        self.recorded = False
        # The application may write others into the scope.
        self._path = scope["path"]
        self._began, self._started = middleware.now()

    def __call__(self, message: AsgiMessage) -> Awaitable[None]:
        # Not a coroutine of its own, which would cost as much as all the rest of this.
        kind = message.get("type")
        if kind == "http.response.start":
            self._status = message.get("status", 0)
        elif kind == "http.response.body" and not message.get("more_body") and not self.recorded:
            self.record()
        return self._send(message)

    def record(self) -> None:
        """Records the request as answered now; never raises."""
        self.recorded = True
        middleware = self._middleware
        try:
            took = middleware.timer() - self._started
            middleware.observe(self._scope, self._began, took, self._path, self._status or _FAILED)
        except Exception as error:  # noqa: BLE001 - a scope of any shape
            middleware.complain(error)

    def failed(self, error: BaseException) -> None:
        """Records a request that the application left by an exception."""
        if not self._status:
            self._status = _FAILED if isinstance(error, Exception) else _CLIENT_LEFT
        self.record()


def _template(scope: Scope) -> str | None:
    """The path template of the route, as far as the innermost router knows it."""
    route = scope.get("route")
    if route is None:
        return None
    # FastAPI keeps the prefixes of included routers apart from the route, from 0.13x on.
    own = scope.get("fastapi")
    if own:
        context = own.get("effective_route_context")
        if context is not None and context.original_route is route:
            route = context
    template = getattr(route, "path", None)
    return template if isinstance(template, str) else None


def _starlette_user(user: object) -> str | None:
    """Who Starlette's AuthenticationMiddleware, or one like it, says it is."""
    if not getattr(user, "is_authenticated", False):
        return None
    try:
        identity = getattr(user, "identity", None)
    except NotImplementedError:
        identity = None
    return identity or getattr(user, "display_name", None) or None


def _header_name(name: str | None) -> bytes | None:
    return name.lower().encode("latin-1") if name else None


def _skipping(skip: Skip) -> tuple[tuple[str, ...], Callable[[Scope], bool] | None]:
    if callable(skip):
        return (), skip
    prefixes = (skip,) if isinstance(skip, str) else tuple(skip)
    return tuple(prefix.rstrip("/") for prefix in prefixes), None


def _check(path: str, sample: float, trusted_proxies: int, user: object, skip: object) -> None:
    if path not in {"real", "template"}:
        raise ValueError('path must be "real" or "template"')
    if not 0 <= sample <= 1:
        raise ValueError("sample must be 0 to 1")
    if trusted_proxies < 1:
        raise ValueError("trusted_proxies must be at least 1")
    for name, given in (("user", user), ("skip", skip)):
        if inspect.iscoroutinefunction(given):
            raise TypeError(f"{name} must be a plain function: it is called, not awaited")
