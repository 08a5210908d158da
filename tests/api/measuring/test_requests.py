"""Each request is counted once, whatever becomes of it, and never by what its sender chose."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from api.answering_route import name_route
from api.measuring.requests import MeasuredRequests
from schemas.metrics.edge import REQUEST_DURATION, REQUESTS
from tests.scrapes import shown_here

App = Callable[[Scope, Receive, Send], Awaitable[None]]


async def nothing() -> Message:
    raise AssertionError


async def sent(message: Message) -> None:
    assert message["type"].startswith("http.response")


async def counted(app: App, *, method: str = "GET", **labels: str) -> float:
    """By how much the requests with these labels became more through one."""
    before = shown_here("api")
    scope = {"type": "http", "method": method, "path": "/users/alice"}
    with suppress(ClientDisconnect, ZeroDivisionError):
        await MeasuredRequests(app)(scope, nothing, sent)
    after = shown_here("api")
    assert after.value(REQUESTS) == before.value(REQUESTS) + 1
    assert after.value(REQUEST_DURATION, "_count") == before.value(REQUEST_DURATION, "_count") + 1
    assert not any("alice" in each["route"] for each in after.series(REQUESTS))
    return after.value(REQUESTS, **labels) - before.value(REQUESTS, **labels)


def answering(status: int, route: str | None = "/users/{user}") -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if route is not None:
            name_route(scope, route)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return app


@pytest.mark.parametrize(
    ("status", "family"), [(200, "2xx"), (202, "2xx"), (304, "3xx"), (429, "4xx"), (503, "5xx")]
)
async def test_an_answer_is_counted_by_route_method_and_class(status: int, family: str) -> None:
    labels = {"route": "/users/{user}", "status": family}
    assert await counted(answering(status), method="DELETE", **labels) == 1


async def test_what_no_route_took_has_none() -> None:
    assert await counted(answering(404, None), route="none", status="4xx") == 1


async def test_a_method_that_does_not_exist_is_other() -> None:
    before = shown_here("api").value(REQUESTS, method="other")
    await counted(answering(405), method="STEAL")
    assert shown_here("api").value(REQUESTS, method="other") == before + 1


async def test_an_error_before_the_answer_is_the_edges_own() -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    assert await counted(fails, route="none", status="5xx") == 1


async def test_a_client_that_left_is_no_error_of_the_edge() -> None:
    async def left(scope: Scope, receive: Receive, send: Send) -> None:
        raise ClientDisconnect

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        return

    assert await counted(left, status="4xx") == 1
    assert await counted(silent, status="4xx") == 1


async def test_what_is_no_request_is_not_counted() -> None:
    before = shown_here("api").value(REQUESTS)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "lifespan"

    await MeasuredRequests(app)({"type": "lifespan"}, nothing, sent)
    assert shown_here("api").value(REQUESTS) == before
