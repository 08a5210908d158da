"""The middleware: sees each request of an ASGI application, and leaves the rest to a thread.

What happens here happens within the host's requests, so it is little: a tuple is made and put
into a buffer. Nothing of it may raise, wait, or change what the host and its server say.
"""

import inspect
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeAlias, Unpack

from weir_sdk.asgi import AsgiApplication, AsgiMessage, Receive, Scope, Send
from weir_sdk.client import DeliveryArguments, WeirClient
from weir_sdk.counts import Counts
from weir_sdk.limits import (
    MAX_ADDRESSES_BYTES,
    MAX_HEADER_BYTES,
    MAX_METHOD_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_PATH_CHARACTERS,
)
from weir_sdk.page_views import Page, PageViews, PathKind, Visitor
from weir_sdk.routes import template_of
from weir_sdk.transport import Transport
from weir_sdk.visitors import Visitors, client_address

log = logging.getLogger("weir_sdk")

Skip: TypeAlias = Iterable[str] | Callable[[Scope], bool]
FindUser: TypeAlias = Callable[[Scope], str | None]

_FAILED: Final = 500
_CLIENT_LEFT: Final = 499
_COMPLAIN_SECONDS: Final = 60.0
_MAX_REMEMBERED: Final = 4_096
_USUAL_LENGTH: Final = 512
"""What is longer is not remembered: it would not come again, and the memory is bounded."""

_PageKey: TypeAlias = tuple[str, int, str, int, str]
_VisitorKey: TypeAlias = tuple[str | None, bytes, bytes, bytes]


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
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.perf_counter,
        **of_delivery: Unpack[DeliveryArguments],
    ) -> None:
        """Give `url` (and `write_key`), a `transport`, or a `client` to share its buffer.

        `of_delivery` are WeirClient's, for the client that is made here. Raises ValueError or
        TypeError for options that cannot work.
        """
        _check(path, sample, trusted_proxies, user, skip)
        of_client = {"url": url, "write_key": write_key, "transport": transport, **of_delivery}
        if client is None:
            client = WeirClient(url, write_key, transport=transport, **of_delivery)
        elif given := [name for name, value in of_client.items() if value is not None]:
            raise ValueError(f"give {', '.join(given)} to the client, which has its own")
        self._app = app
        self.client = client
        self._skip_prefixes, self._skip = _skipping(skip)
        self._may_skip = bool(self._skip_prefixes or self._skip)
        self._sample = sample
        self._user = user
        self._address_header = _header_name(client_address_header)
        self._trusted_proxies = trusted_proxies
        self._country_header = _header_name(country_header)
        self._respects = respect_privacy_signals
        self._page_views = PageViews(
            visitors=Visitors(visitor_secret or client.write_key),
            path=path,
            source=source,
            sample_rate=sample if sample < 1 else None,
            clock=clock,
            timer=timer,
        )
        self._make = self._page_views.message
        self._pages: dict[_PageKey, Page] = {}
        self._visitors: dict[_VisitorKey, Visitor] = {}
        self._tally = client.delivery.tally
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
        if self._may_skip and self._skips(scope):
            await self._app(scope, receive, send)
            return
        # The application may write another one into the scope.
        path = scope["path"]
        began = self._timer()
        status = 0
        recorded = False

        def watched(message: AsgiMessage) -> Awaitable[None]:
            # Not a coroutine of its own, which would cost as much as all the rest here.
            nonlocal status, recorded
            if message["type"] == "http.response.start":
                status = message["status"]
            elif (
                message["type"] == "http.response.body"
                and not message.get("more_body")
                and not recorded
            ):
                recorded = True
                self._record(scope, path, began, status)
            return send(message)

        try:
            await self._app(scope, receive, watched)
        except BaseException as error:
            if not recorded:
                failed = _FAILED if isinstance(error, Exception) else _CLIENT_LEFT
                self._record(scope, path, began, status or failed)
            raise
        if not recorded:
            self._record(scope, path, began, status)

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
            self._tally.skip()
        return skipped

    def _record(self, scope: Scope, path: str, began: float, status: int) -> None:
        """Leaves the request, which is answered now, to the background; never raises."""
        try:
            took = self._timer() - began
            header = dict(scope["headers"]).get
            route = scope.get("route")
            router_root = scope.get("root_path", "")
            method = scope["method"]
            if len(method) > MAX_METHOD_CHARACTERS:
                method = method[:MAX_METHOD_CHARACTERS]
            page_key = (path, status, method, id(route), router_root)
            page = self._pages.get(page_key) or self._new_page(page_key, scope, route)
            client = scope.get("client")
            country = header(self._country_header, b"") if self._country_header else b""
            address: str | None
            if self._respects and (header(b"sec-gpc") == b"1" or header(b"dnt") == b"1"):
                address = user = None
                referrer = b""
            else:
                address = (
                    client[0] if client and self._address_header is None else self._address(scope)
                )
                referrer = header(b"referer", b"")
                user = self._user_of(scope) if self._user or "user" in scope else None
            visitor_key = (address, header(b"user-agent", b""), header(b"host", b""), country)
            visitor = self._visitors.get(visitor_key) or self._new_visitor(visitor_key)
            if self._sample < 1 and not self._samples(visitor):
                self._tally.sample_out()
                return
            self._put((self._make, began, took, page, visitor, referrer[:MAX_HEADER_BYTES], user))
        except Exception as error:  # noqa: BLE001 - a scope of any shape
            self._tally.unreadable(type(error).__name__)
            self._complain("a request", error)

    def _new_page(self, key: _PageKey, scope: Scope, route: object) -> Page:
        path, status, method, _, router_root = key
        mounted = "app_root_path" in scope
        page = Page(
            method=method,
            status=status or _FAILED,
            path=path[:MAX_PATH_CHARACTERS],
            root_path=scope["app_root_path"] if mounted else router_root,
            route=route,
            template=template_of(scope),
            router_root=router_root,
            parameters=scope.get("path_params") if mounted else None,
        )
        if len(path) + len(router_root) <= _USUAL_LENGTH:
            if len(self._pages) >= _MAX_REMEMBERED:
                self._pages.clear()
            self._pages[key] = page
        return page

    def _new_visitor(self, key: _VisitorKey) -> Visitor:
        address, user_agent, host, country = key
        visitor = Visitor(
            None if address is None else str(address)[:MAX_NAME_CHARACTERS],
            user_agent[:MAX_HEADER_BYTES],
            host[:MAX_HEADER_BYTES],
            country[:MAX_HEADER_BYTES],
        )
        if len(user_agent) + len(host) + len(country) <= _USUAL_LENGTH:
            if len(self._visitors) >= _MAX_REMEMBERED:
                self._visitors.clear()
            self._visitors[key] = visitor
        return visitor

    def _samples(self, visitor: Visitor) -> bool:
        if visitor.address is None:
            return random.random() < self._sample  # noqa: S311 - a sample needs no secrecy
        return self._page_views.is_sampled(visitor, self._clock(), self._sample)

    def _address(self, scope: Scope) -> str:
        if (name := self._address_header) is not None:
            given = b",".join([value for each, value in scope["headers"] if each == name])
            if given:
                return client_address(given[-MAX_ADDRESSES_BYTES:], self._trusted_proxies)
        client = scope.get("client")
        return str(client[0])[:MAX_NAME_CHARACTERS] if client else ""

    def _user_of(self, scope: Scope) -> str | None:
        find = self._user
        try:
            user = _starlette_user(scope["user"]) if find is None else find(scope)
            return None if user is None else str(user)[:MAX_NAME_CHARACTERS]
        except Exception as error:  # noqa: BLE001 - the host's callable
            self._complain("user", error)
            return None

    def _complain(self, what: str, error: Exception) -> None:
        now = time.monotonic()
        if now >= self._complain_again_at:
            self._complain_again_at = now + _COMPLAIN_SECONDS
            # Not what it says: it may quote what it was about, such as a token.
            log.warning("%s could not be read (%s)", what, type(error).__name__)


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
