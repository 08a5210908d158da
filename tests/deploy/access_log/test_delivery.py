"""When a batch goes out again, how long that goes on, and what an answer means."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import orjson
import pytest

from deploy.access_log.delivery import (
    LONGEST_BACKOFF_SECONDS,
    Delivery,
    GaveUp,
    NotAccepted,
    Patience,
    Rejection,
)
from tests.deploy.access_log.edge_stub import Answer, Edge, Event, edge, unavailable

pytestmark = pytest.mark.services


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def patience(self, give_up_after: float = 120.0) -> Patience:
        return Patience(give_up_after, clock=self.clock, sleep=self.sleep, jitter=lambda: 1.0)


@asynccontextmanager
async def delivery(server: Edge, time: Time) -> AsyncIterator[Delivery]:
    async with aiohttp.ClientSession() as http:
        yield Delivery(http, server.url, time.patience())


def events(*paths: str) -> list[bytes]:
    return [
        orjson.dumps(
            {
                "event_type": "page_view",
                "event_id": f"00000000-0000-4000-8000-{number:012}",
                "path": path,
            }
        )
        for number, path in enumerate(paths)
    ]


async def test_pauses_grow_to_a_bound_and_the_whole_ends() -> None:
    time = Time()
    with edge(lambda _number, _events: unavailable()) as server:
        async with delivery(server, time) as sender:
            with pytest.raises(GaveUp, match="503"):
                await sender.send(events("/"))
    assert time.pauses[:4] == [0.25, 0.5, 1.0, 2.0]
    assert max(time.pauses) == LONGEST_BACKOFF_SECONDS
    assert time.now == 120.0
    assert len(server.requests) == len(time.pauses) + 1


@pytest.mark.parametrize(
    ("retry_after", "pause"),
    [("7", 7.0), ("0", 0.25), ("soon", 0.25), ("-1", 0.25), ("9" * 400, 120.0)],
)
async def test_the_server_says_how_long_to_pause(retry_after: str, pause: float) -> None:
    time = Time()

    def once(number: int, _events: list[Event]) -> Answer | None:
        return unavailable(retry_after) if number == 0 else None

    with edge(once) as server:
        async with delivery(server, time) as sender:
            assert await sender.send(events("/")) == []
    assert time.pauses == [pause]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_tried_again(status: int) -> None:
    time = Time()

    def once(number: int, _events: list[Event]) -> Answer | None:
        return Answer(status, "a page of a proxy") if number == 0 else None

    with edge(once) as server:
        async with delivery(server, time) as sender:
            assert await sender.send(events("/")) == []
    assert server.requests[0] == server.requests[1]


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 405, 415])
async def test_what_will_not_pass_is_not_tried_again(status: int) -> None:
    time = Time()
    with edge(lambda _number, _events: Answer(status, {"title": "Go away"})) as server:
        async with delivery(server, time) as sender:
            with pytest.raises(NotAccepted, match=f"answered {status}"):
                await sender.send(events("/"))
    assert len(server.requests) == 1


async def test_rejections_name_the_event_whether_some_or_all_are_rejected() -> None:
    time = Time()
    bad = Rejection(1, "path", "is \x1b[31mnot liked")
    with edge() as server:
        async with delivery(server, time) as sender:
            assert await sender.send(events("/", "/reject-me", "/b")) == [bad]
            assert [one.index for one in await sender.send(events("/reject-me"))] == [0]


async def test_a_batch_too_large_for_a_proxy_goes_in_halves() -> None:
    time = Time()

    def small(_number: int, found: list[Event]) -> Answer | None:
        too_much = len(found) > 2 or "/huge" in [event["path"] for event in found]
        return Answer(413, {"title": "Too large"}) if too_much else None

    with edge(small) as server:
        async with delivery(server, time) as sender:
            rejections = await sender.send(events("/", "/b", "/reject-me", "/c", "/huge"))
    assert [(one.index, one.field) for one in rejections] == [(2, "path"), (4, "event")]
    assert server.paths() == ["/", "/b", "/c"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "accepted",
        {"items": []},
        {"items": [{"index": 0, "status": "accepted"}] * 2},
        {"items": [{"index": 5, "status": "accepted"}]},
    ],
)
async def test_an_answer_that_does_not_cover_the_batch_confirms_nothing(body: object) -> None:
    time = Time()
    with edge(lambda _number, _events: Answer(202, body)) as server:
        async with delivery(server, time) as sender:
            with pytest.raises(NotAccepted):
                await sender.send(events("/"))
