"""The middleware sees every request, changes none, and says what happened."""

import asyncio
import logging
import tracemalloc
import uuid
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import pytest
from fastapi import APIRouter, FastAPI, Request
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser, SimpleUser
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route

from tests.sdk.hosts import (
    Answers,
    Kept,
    ask,
    hello,
    http_scope,
    quiet_client,
    receive_nothing,
    recorded,
)
from weir_sdk import AnalyticsMiddleware
from weir_sdk.asgi import AsgiMessage, Receive, Scope, Send


async def test_a_request_is_a_page_view_with_all_that_is_known() -> None:
    times = iter([10.0, 10.25, 20.0, 20.0])
    scope = http_scope(
        "/products/42",
        query_string=b"secret=1",
        headers=[
            (b"host", b"Shop.example.com"),
            (b"user-agent", b"Firefox"),
            (b"referer", b"https://search.example/find?q=private#part"),
            (b"cf-ipcountry", b"DE"),
        ],
    )
    [event] = await recorded(
        [scope],
        source="shop",
        country_header="CF-IPCountry",
        user=lambda _: "u-42",
        timer=lambda: next(times),
        clock=lambda: 1_795_520_198.529,
    )
    assert uuid.UUID(event.pop("event_id")).version == 7
    assert len(event.pop("visitor_id")) == 32
    assert event == {
        "event_type": "page_view",
        "path": "/products/42",
        "occurred_at": "2026-11-24T11:36:28.529Z",
        "user_id": "u-42",
        "source": "shop",
        "metadata": {
            "method": "GET",
            "status": 200,
            "duration_ms": 250.0,
            "referrer": "https://search.example/find",
            "host": "shop.example.com",
            "user_agent": "Firefox",
            "country": "DE",
        },
    }


async def _endpoint(request: Request) -> PlainTextResponse:
    return PlainTextResponse("there")


def _shop() -> FastAPI:
    things = APIRouter(prefix="/things")
    things.add_api_route("/{thing}", lambda thing: thing)
    inner = FastAPI()
    inner.add_api_route("/orders/{order}", lambda order: order)
    app = FastAPI()
    app.include_router(things, prefix="/api/{version}")
    app.mount("/tenants/{tenant}", inner)
    app.mount("/old", Starlette(routes=[Mount("/deep", routes=[Route("/{page}", _endpoint)])]))
    return app


@pytest.mark.parametrize(
    ("path", "root_path", "visited", "route"),
    [
        ("/api/v1/things/7", "", "/api/v1/things/7", "/api/{version}/things/{thing}"),
        (
            "/tenants/acme/orders/9",
            "",
            "/tenants/acme/orders/9",
            "/tenants/{tenant}/orders/{order}",
        ),
        ("/old/deep/x", "", "/old/deep/x", "/old/deep/{page}"),
        ("/nowhere", "", "/nowhere", None),
        (
            "/app/api/v1/things/7",
            "/app",
            "/app/api/v1/things/7",
            "/app/api/{version}/things/{thing}",
        ),
        ("/api/v1/things/7", "/app", "/app/api/v1/things/7", "/app/api/{version}/things/{thing}"),
        (
            "/app/tenants/acme/orders/9",
            "/app",
            "/app/tenants/acme/orders/9",
            "/app/tenants/{tenant}/orders/{order}",
        ),
    ],
)
async def test_path_and_route_are_whole_behind_routers_mounts_and_prefixes(
    path: str, root_path: str, visited: str, route: str | None
) -> None:
    [event] = await recorded([http_scope(path, root_path=root_path)], _shop())
    assert event["path"] == visited
    assert event["metadata"].get("route") == route


async def test_the_template_may_stand_for_the_path() -> None:
    paths = ["/api/v1/things/7", "/nowhere"]
    events = await recorded([http_scope(path) for path in paths], _shop(), path="template")
    assert [event["path"] for event in events] == ["/api/{version}/things/{thing}", "/nowhere"]


async def test_a_mounted_application_may_have_it_alone() -> None:
    kept = Kept()
    client = quiet_client(kept)
    inner = Starlette(
        routes=[Route("/{page}", _endpoint)],
        middleware=[Middleware(AnalyticsMiddleware, client=client)],
    )
    await ask(Starlette(routes=[Mount("/inner", inner)]), http_scope("/inner/a"))
    await client.close()
    assert [(each["path"], each["metadata"]["route"]) for each in kept.events] == [
        ("/inner/a", "/inner/{page}")
    ]


async def test_what_the_host_answers_is_passed_on_unchanged() -> None:
    with_it = await ask(AnalyticsMiddleware(_shop(), client=quiet_client(Kept())), http_scope("/x"))
    assert with_it == await ask(_shop(), http_scope("/x"))


async def test_other_scopes_are_passed_through() -> None:
    seen: list[tuple[Scope, Receive, Send]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope, receive, send))

    client = quiet_client(Kept())
    middleware = AnalyticsMiddleware(app, client=client)
    websocket, answers = {"type": "websocket", "path": "/"}, Answers()
    await middleware(websocket, receive_nothing, answers)
    assert seen == [(websocket, receive_nothing, answers)]
    assert client.counts.recorded == 0


async def test_an_exception_of_the_host_is_passed_on_and_recorded_as_500() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError("the host's own")

    kept = Kept()
    client = quiet_client(kept)
    with pytest.raises(LookupError, match="the host's own"):
        await ask(AnalyticsMiddleware(app, client=client), http_scope())
    await client.close()
    assert [event["metadata"]["status"] for event in kept.events] == [500]


async def test_a_request_that_the_server_cancels_is_recorded_as_left_by_the_client() -> None:
    began = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        began.set()
        await asyncio.Event().wait()

    kept = Kept()
    client = quiet_client(kept)
    task = asyncio.create_task(ask(AnalyticsMiddleware(app, client=client), http_scope()))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await client.close()
    assert [event["metadata"]["status"] for event in kept.events] == [499]


async def test_a_long_body_is_one_page_view_at_its_end_before_background_tasks() -> None:
    client = quiet_client(Kept())
    counted: list[int] = []

    async def pieces() -> AsyncIterator[str]:
        for number in range(3):
            counted.append(client.counts.recorded)
            yield str(number)

    async def endpoint(request: Request) -> StreamingResponse:
        return StreamingResponse(pieces(), background=BackgroundTask(after))

    async def after() -> None:
        counted.append(client.counts.recorded)

    app = Starlette(routes=[Route("/", endpoint)])
    await ask(AnalyticsMiddleware(app, client=client), http_scope())
    assert counted == [0, 0, 0, 1]
    assert client.counts.recorded == 1


async def test_callables_of_the_host_that_raise_hurt_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(_: Scope) -> NoReturn:
        raise RuntimeError("the host's own token")

    events = await recorded([http_scope(), http_scope()], user=broken, skip=broken)
    assert [event.get("user_id") for event in events] == [None, None]
    # One line a minute, however many requests there are.
    assert len([each for each in caplog.records if each.levelno == logging.WARNING]) == 1
    # What the error says may be a secret.
    assert "RuntimeError" in caplog.text
    assert "token" not in caplog.text


async def test_long_headers_and_methods_are_not_remembered() -> None:
    client = quiet_client(Kept())
    middleware = AnalyticsMiddleware(hello, client=client, country_header="cf-ipcountry")
    tracemalloc.start()
    try:
        for number in range(500):
            long = f"{number}{'x' * 60_000}"
            headers = [(b"host", b"h"), (b"cf-ipcountry", long.encode())]
            await ask(middleware, http_scope(headers=headers, method=long))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    await client.close()
    assert client.counts.sent == 500
    assert held < 500 * 12_000


async def test_what_is_skipped_is_counted_and_not_recorded() -> None:
    client = quiet_client(Kept())
    middleware = AnalyticsMiddleware(hello, client=client, skip=("/health", "/static/"))
    for path in ("/health", "/health/deep", "/healthy", "/static/a.css", "/statics"):
        await ask(middleware, http_scope(path))
    assert (client.counts.skipped, client.counts.recorded) == (3, 2)
    by_call = AnalyticsMiddleware(
        hello, client=client, skip=lambda scope: scope["method"] == "OPTIONS"
    )
    await ask(by_call, http_scope(method="OPTIONS"))
    assert (client.counts.skipped, client.counts.recorded) == (4, 2)


async def test_a_sample_takes_all_of_a_visitor_or_nothing_and_says_its_rate() -> None:
    kept = Kept()
    client = quiet_client(kept)
    middleware = AnalyticsMiddleware(hello, client=client, sample=0.25, visitor_secret="s")
    for number in range(400):
        for _ in range(3):
            await ask(middleware, http_scope(client=(f"203.0.113.{number}", 1)))
    await client.close()
    assert client.counts.recorded + client.counts.sampled_out == 1200
    visits = [event["visitor_id"] for event in kept.events]
    assert all(visits.count(visitor) == 3 for visitor in set(visits))
    assert 60 <= len(set(visits)) <= 140
    assert {event["metadata"]["sample_rate"] for event in kept.events} == {0.25}


async def test_the_user_of_starlettes_authentication_is_known() -> None:
    class Backend(AuthenticationBackend):
        async def authenticate(
            self, conn: HTTPConnection
        ) -> tuple[AuthCredentials, BaseUser] | None:
            if name := conn.headers.get("x-user"):
                return AuthCredentials(), SimpleUser(name)
            return None

    app = AuthenticationMiddleware(hello, Backend())
    known = http_scope(headers=[(b"host", b"h"), (b"x-user", b"ada")])
    events = await recorded([known, http_scope()], app)
    assert [event.get("user_id") for event in events] == ["ada", None]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "give the url"),
        ({"url": "weir.example.com"}, "url must be"),
        ({"url": "https://me:secret@weir.example.com"}, "without a password"),
        ({"url": "http://w", "transport": Kept()}, "either a url or a transport"),
        ({"url": "http://w", "sample": 2}, "sample"),
        ({"url": "http://w", "path": "raw"}, "path"),
        ({"url": "http://w", "batch_size": 5000}, "batch_size"),
        ({"url": "http://w", "trusted_proxies": 0}, "trusted_proxies"),
        ({"transport": Kept(), "compress": False}, "compress and request_timeout"),
        ({"client": quiet_client(Kept()), "write_key": "wk"}, "write_key to the client"),
        ({"client": quiet_client(Kept()), "url": "http://w", "max_buffer": 5}, "url, max_buffer"),
        ({"client": quiet_client(Kept()), "transport": Kept()}, "transport to the client"),
    ],
)
def test_options_that_cannot_work_are_refused_at_once(
    options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        AnalyticsMiddleware(hello, **options)


def test_a_coroutine_function_is_no_option() -> None:
    async def user(scope: Scope) -> str:
        return "u"

    with pytest.raises(TypeError, match="called, not awaited"):
        AnalyticsMiddleware(hello, url="http://w", user=user)  # type: ignore[arg-type]


async def test_the_lifespan_ends_with_a_last_flush_after_the_hosts_own_shutdown() -> None:
    kept = Kept()
    client = quiet_client(kept)
    order: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            order.append(f"host ended, {len(kept.events)} sent")
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await hello(scope, receive, send)

    middleware = AnalyticsMiddleware(app, client=client)
    incoming = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> AsgiMessage:
        await ask(middleware, http_scope())
        return next(incoming)

    answers = Answers()
    await middleware({"type": "lifespan"}, receive, answers)
    assert order == ["host ended, 0 sent"]
    assert answers.messages[-1] == {"type": "lifespan.shutdown.complete"}
    assert len(kept.events) == 2
    assert kept.stopped == 1
    # What comes after that starts anew.
    await ask(middleware, http_scope())
    await client.close()
    assert len(kept.events) == 3
