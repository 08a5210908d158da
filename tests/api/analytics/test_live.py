"""The newest events as they are stored, over the wire, behind a real Kafka and ClickHouse."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import monotonic, time
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import aiohttp
import orjson
import pytest
import pytest_asyncio

from api.analytics.newest import MOST_TOLD
from api.analytics.watchers import MAX_WATCHERS
from api.server_events import KEEP_ALIVE_SECONDS
from deploy.api_keys import write_key
from schemas.api_keys import create_key
from tests.api.identity.credentials import bearer, signed
from tests.api.requests import ask, get, items, listed, post
from tests.services import Services, local_services
from tests.weir import Json, Weir, throwaway_weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]

LIVE = "/analytics/live"
WITHIN = 30
END_SECONDS = 5
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


@dataclass(frozen=True)
class Told:
    """A server-sent event."""

    name: str
    data: Json
    id: str | None


class Stream:
    """Reads server-sent events as a browser does."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.last_id: str | None = None
        self.retry: str | None = None

    async def told(self) -> Told | None:
        """The next event; None: the stream has ended."""
        name, data = "message", list[str]()
        identity: str | None = None
        async with asyncio.timeout(WITHIN):
            while line := (await self.response.content.readline()).decode():
                field, _, value = line.rstrip("\n").partition(": ")
                match field:
                    case "event":
                        name = value
                    case "data":
                        data.append(value)
                    case "id":
                        self.last_id = identity = value
                    case "retry":
                        self.retry = value
                    case "" if data:
                        return Told(name, orjson.loads("\n".join(data)), identity)
        return None

    async def events(self, count: int) -> list[Json]:
        """The data of so many events, and nothing else between."""
        told = [await self.told() for _ in range(count)]
        assert {each and each.name for each in told} <= {"event"}, told
        return [each.data for each in told if each]

    async def rest(self) -> list[Told]:
        """All that comes until it ends."""
        told = []
        while each := await self.told():
            told.append(each)
        return told


@asynccontextmanager
async def watching(
    weir: Weir, last_id: str | None = None, **parameters: str | int
) -> AsyncIterator[Stream]:
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    url = f"{weir.url}{LIVE}?{urlencode(parameters)}"
    async with weir.session.get(url, headers=headers) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert response.headers["Cache-Control"] == "private, no-store"
        yield Stream(response)


def a_type() -> str:
    """A type of events that no other test has."""
    return f"live.{uuid4().hex}"


def an_event(event_type: str, path: str = "/live", **members: Json) -> Json:
    return {"event_id": str(uuid4()), "event_type": event_type, "path": path, **members}


async def stored(weir: Weir, *events: Json) -> None:
    """Sends events and returns when they are listed, each after the one before."""
    for event in events:
        before = len(await items(weir, event_type=event["event_type"]))
        assert (await post(weir, event)).status == 202

        async def there(event: Json = event, count: int = before + 1) -> bool:
            return await listed(weir, count, event_type=event["event_type"])

        await weir.eventually(there)


async def test_the_newest_come_first_and_then_each_new_one(edge: Weir) -> None:
    kind = a_type()
    metadata = {"text": "line\u2028 end", "number": 12345678901234567890, "user_agent": "curl/8"}
    first = [an_event(kind, f"/{number}", user_id="u", metadata=metadata) for number in range(3)]
    await stored(edge, *first)
    async with watching(edge, event_type=kind, limit=2) as stream:
        begun = await stream.events(2)
        assert stream.retry == "1000"
        new = an_event(kind, "/new", metadata=metadata)
        await stored(edge, new)
        [told] = await stream.events(1)
    assert [each["event_id"] for each in begun] == [each["event_id"] for each in first[1:]]
    assert told["event_id"] == new["event_id"]
    listed_now = await items(edge, event_type=kind, limit=3)
    assert [told, *reversed(begun)] == listed_now


async def test_an_event_is_told_within_a_second_of_its_acknowledgement(edge: Weir) -> None:
    """At the sink's default linger; the middle one of seven, whatever else this machine does."""
    kind = a_type()
    seconds = []
    async with watching(edge, event_type=kind, limit=0) as stream:
        for _ in range(7):
            assert (await post(edge, an_event(kind))).status == 202
            start = monotonic()
            await stream.events(1)
            seconds.append(monotonic() - start)
    assert median(seconds) < 1, seconds


async def test_behind_any_id_come_the_others(edge: Weir) -> None:
    kind = a_type()
    await stored(edge, *(an_event(kind, f"/before/{number}") for number in range(2)))
    paths, ids = [], []
    async with watching(edge, event_type=kind) as stream:
        assert len(await stream.events(2)) == 2
        ids.append(stream.last_id)
        for number in range(3):
            await stored(edge, an_event(kind, f"/{number}"))
            paths += [each["path"] for each in await stream.events(1)]
            ids.append(stream.last_id)
    await stored(edge, an_event(kind, "/away"))
    paths.append("/away")
    assert paths == ["/0", "/1", "/2", "/away"]
    for number, last_id in enumerate(ids):
        async with watching(edge, last_id, event_type=kind, limit=1, seconds=0) as stream:
            told = [each.data["path"] for each in await stream.rest()]
            assert told == paths[number:]
    async with watching(edge, ids[-1], event_type=kind) as stream:
        assert [each["path"] for each in await stream.events(1)] == ["/away"]
        await stored(edge, an_event(kind, "/back"))
        # What came behind the id is not told again by who polls.
        assert [each["path"] for each in await stream.events(1)] == ["/back"]


async def test_an_id_that_is_not_ours_begins_anew(edge: Weir) -> None:
    kind = a_type()
    await stored(edge, an_event(kind))
    async with watching(edge, "42", event_type=kind, seconds=0) as stream:
        assert [each.name for each in await stream.rest()] == ["event"]


async def test_bots_are_told_unless_they_are_left_out(edge: Weir) -> None:
    kind = a_type()
    person, bot = an_event(kind, "/person"), an_event(kind, "/bot", metadata={"user_agent": BOT})
    for begun in (True, False):
        async with (
            watching(edge, event_type=kind) as everything,
            watching(edge, event_type=kind, bots="exclude") as people,
            watching(edge, event_type=kind, bots="only") as bots,
        ):
            if not begun:
                assert len(await everything.events(2)) == 2
                assert len(await people.events(1)) == len(await bots.events(1)) == 1
                person, bot = ({**each, "event_id": str(uuid4())} for each in (person, bot))
            await stored(edge, person, bot)
            paths = [each["path"] for each in await everything.events(2)]
            assert sorted(paths) == ["/bot", "/person"]
            assert [each["path"] for each in await people.events(1)] == ["/person"]
            assert [each["path"] for each in await bots.events(1)] == ["/bot"]


async def test_of_too_many_the_newest_are_told_and_the_others_counted(edge: Weir) -> None:
    kind = a_type()
    count = 8 * MOST_TOLD
    async with watching(edge, event_type=kind, limit=0) as stream:
        for _ in range(2):
            # Of one user, and so on one partition: they are stored together.
            batch = [an_event(kind, user_id=kind) for _ in range(count // 2)]
            assert (await post(edge, batch)).status == 202
        seen, skipped = set[str](), 0
        while len(seen) + skipped < count:
            told = await stream.told()
            assert told is not None
            if told.name == "skipped":
                assert told.data["count"] > 0
                skipped += told.data["count"]
            else:
                assert told.data["event_id"] not in seen
                seen.add(told.data["event_id"])
        assert len(seen) + skipped == count
        assert skipped > 0
        assert len(seen) >= MOST_TOLD


async def test_what_is_there_is_told_at_once_and_that_is_all(edge: Weir) -> None:
    kind = a_type()
    await stored(edge, an_event(kind, "/a"), an_event(kind, "/b"))
    answer = await get(edge, LIVE, event_type=kind, seconds=0, limit=1)
    assert answer.body.count(b"event: event") == 1
    assert b'"/b"' in answer.body
    answer = await get(edge, LIVE, event_type=kind, seconds=0, limit=0)
    assert b"event:" not in answer.body
    assert answer.body.startswith(b"id: ")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("limit", "-1"),
        ("limit", "101"),
        ("limit", "many"),
        ("seconds", "301"),
        ("bots", "some"),
        ("event_type", ""),
        ("from", "2026-11-24T09:30:00Z"),
        ("to", "2026-11-24T09:30:00Z"),
        ("path", "/live"),
    ],
)
async def test_other_parameters_are_refused(edge: Weir, field: str, value: str) -> None:
    answer = await ask(edge, "GET", f"{LIVE}?{urlencode({field: value})}")
    answer.problem(422, field)


async def test_parameters_are_given_once(edge: Weir) -> None:
    answer = await ask(edge, "GET", f"{LIVE}?limit=1&limit=2")
    answer.problem(422, "limit")


async def test_head_is_answered_without_watching(edge: Weir) -> None:
    async with asyncio.timeout(WITHIN):
        answer = await ask(edge, "HEAD", LIVE)
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/event-stream")


async def test_a_stream_ends_soon_after_its_credentials_do_not_hold(guarded: Weir) -> None:
    now = datetime.now(UTC)
    presented, key = create_key("read", "live", now)
    await write_key(guarded.kafka, key)

    async def status(credentials: str) -> int:
        return (await ask(guarded, "HEAD", LIVE, headers=bearer(credentials))).status

    async def key_known() -> bool:
        return await status(presented) == 200

    await guarded.eventually(key_known)
    # Ten seconds are given to clocks that are off.
    token = signed(guarded, roles=["analyst"], exp=int(time()) - 5)
    url = f"{guarded.url}{LIVE}?event_type={a_type()}"
    async with (
        guarded.session.get(url, headers=bearer(presented)) as by_key,
        guarded.session.get(url, headers=bearer(token)) as by_token,
    ):
        assert (by_key.status, by_token.status) == (200, 200)
        await write_key(guarded.kafka, key.model_copy(update={"revoked_at": now}))
        async with asyncio.timeout(KEEP_ALIVE_SECONDS + END_SECONDS):
            await by_key.read()
            await by_token.read()
    assert await status(presented) == await status(token) == 401


async def test_places_are_limited_and_free_again_when_watchers_leave(
    services: Services, tmp_path: Path
) -> None:
    async with throwaway_weir(services, tmp_path) as weir:
        await weir.start_api()
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            streams = [await session.get(f"{weir.url}{LIVE}?limit=0") for _ in range(MAX_WATCHERS)]
            assert {each.status for each in streams} == {200}
            refused = await ask(weir, "GET", LIVE)
            assert str(MAX_WATCHERS) in refused.problem(503)["detail"]
            assert int(refused.headers["Retry-After"]) >= 1
            streams.pop().close()

            async def let_in() -> bool:
                return (await get(weir, LIVE, seconds=0)).status == 200

            await weir.eventually(let_in)
            for each in streams:
                each.close()


async def test_a_stream_ends_with_the_server(services: Services, tmp_path: Path) -> None:
    async with throwaway_weir(services, tmp_path) as weir:
        api = await weir.start_api()
        async with watching(weir) as stream:
            assert await stream.response.content.readline()
            start = monotonic()
            api.terminate()
            assert await stream.rest() == []
            assert await api.wait() == 0
            assert monotonic() - start < END_SECONDS
        assert "Traceback" not in "\n".join(api.last_lines(200))


async def test_readers_that_stand_still_end_with_the_server_too(
    services: Services, tmp_path: Path
) -> None:
    async with throwaway_weir(services, tmp_path) as weir:
        weir.start_sink()
        api = await weir.start_api()
        large = {"text": 15_000 * "x"}
        kind = a_type()
        sockets = [still(weir) for _ in range(3)]
        try:
            for each in sockets:
                assert await asyncio.to_thread(each.recv, 15) == b"HTTP/1.1 200 OK"
            # 9 MB: more than the kernel keeps for who does not read.
            for count in range(50, 650, 50):
                batch = [an_event(kind, metadata=large) for _ in range(50)]
                assert (await post(weir, batch)).status == 202

                async def there(count: int = count) -> bool:
                    return await listed(weir, count, event_type=kind, limit=1000)

                await weir.eventually(there)
            start = monotonic()
            api.terminate()
            assert await api.wait() == 0
            assert monotonic() - start < END_SECONDS
        finally:
            for each in sockets:
                each.close()
        assert "Traceback" not in "\n".join(api.last_lines(200))


def still(weir: Weir) -> socket.socket:
    """Asks for events, and does not read them."""
    url = urlsplit(weir.url)
    asking = socket.socket()
    asking.settimeout(WITHIN)
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    asking.connect((url.hostname, url.port))
    asking.sendall(f"GET {LIVE} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode())
    return asking


@pytest_asyncio.fixture(loop_scope="session")
async def fragile(tmp_path: Path) -> AsyncIterator[Weir]:
    """A Weir whose ClickHouse may be killed."""
    async with (
        local_services(tmp_path) as services,
        throwaway_weir(services, tmp_path / "weir") as weir,
    ):
        yield weir


async def test_while_clickhouse_is_away_it_says_so_and_goes_on_when_it_is_back(
    fragile: Weir,
) -> None:
    weir, kind = fragile, a_type()
    weir.start_sink()
    await weir.start_api({"WEIR_QUERY_TIMEOUT": "1"})
    await stored(weir, an_event(kind, "/before"))
    async with watching(weir) as stream:
        assert len(await stream.events(1)) == 1
        await weir.services.clickhouse.kill()
        stale = await stream.told()
        assert stale is not None
        assert stale.name == "stale"
        assert "ClickHouse" in stale.data["detail"]
        (await get(weir, LIVE)).problem(503)
        assert (await post(weir, an_event(kind, "/meanwhile"))).status == 202
        await weir.services.clickhouse.start()
        fresh = await stream.told()
        assert fresh is not None
        assert (fresh.name, fresh.data) == ("fresh", {})
        assert [each["path"] for each in await stream.events(1)] == ["/meanwhile"]
