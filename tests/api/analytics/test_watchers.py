"""One poller for all who watch: when it asks, what each is told, and that nothing piles up."""

import asyncio
from collections.abc import MutableMapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest
from fastapi.sse import KEEPALIVE_COMMENT

from api.analytics.live import STALE, Live, LiveQuestion, tell
from api.analytics.newest import MOST_TOLD, Batch, LiveEvent, StoredEvents, Wanted
from api.analytics.positions import Message, Position
from api.analytics.watchers import LONGEST_POLL_SECONDS, POLL_SECONDS, LiveRoom, Watcher
from api.problems import Problem, unavailable
from api.server_events import Ends

SOON = 10.0


def event(name: str, event_type: str = "page_view", *, bot: bool = False) -> LiveEvent:
    return LiveEvent(event_type, bot, f"data: {name}\n\n".encode())


def names(events: object) -> list[str]:
    assert isinstance(events, list)
    return [each.frame.decode()[6:-2] for each in events]


def at(offset: int) -> Position:
    return Position(0, {}).advanced([(("page-views", 0), Message(1, offset, 1_000))], 1_000)


def ends(ending: asyncio.Event | None = None, held: Sequence[bool] = ()) -> Ends:
    """`held`: what is found of the credentials, one look after the other; then they hold."""
    looks = iter(held)

    async def look() -> bool:
        return next(looks, True)

    return Ends(ending or asyncio.Event(), look)


class Questions(StoredEvents):
    """A log in memory; notes what is asked, and fails when told to."""

    def __init__(self) -> None:
        self.log: list[LiveEvent] = []
        self.asked: list[str] = []
        self.away = False
        self.broken = False

    def _ask(self, question: str) -> None:
        self.asked.append(question)
        if self.away:
            raise unavailable("ClickHouse cannot be reached; ask again")
        if self.broken:
            raise ValueError("nobody thought of that")

    async def count(self) -> int:
        self._ask("count")
        return len(self.log)

    async def end(self) -> Position:
        self._ask("end")
        return at(len(self.log))

    async def since(self, start: Position, end: Position | None = None) -> Batch:
        self._ask("since")
        [message] = start.last.values()
        stop = len(self.log) if end is None else next(iter(end.last.values())).offset
        events = self.log[message.offset : stop]
        counts: dict[tuple[str, bool], int] = {}
        for each in events:
            kind = (each.event_type, each.bot)
            counts[kind] = counts.get(kind, 0) + 1
        return Batch(events, counts, at(stop))

    async def newest(self, end: Position, limit: int, wanted: Wanted) -> list[LiveEvent]:
        self._ask("newest")
        return [each for each in self.log if wanted.takes(each.event_type, each.bot)][-limit:]


class Pauses:
    """Pauses that last until the test lets them end."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._begun = asyncio.Queue[asyncio.Event]()

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        over = asyncio.Event()
        self._begun.put_nowait(over)
        await over.wait()

    async def poll(self) -> None:
        """Lets the poller ask once; returns when it pauses again."""
        async with asyncio.timeout(SOON):
            (await self._begun.get()).set()
            self._begun.put_nowait(await self._begun.get())


async def news(watcher: Watcher) -> tuple[int, list[str]]:
    async with asyncio.timeout(SOON):
        told = await watcher.news()
    return told.skipped, names(told.events)


def nothing_new(watcher: Watcher) -> bool:
    return not watcher._changed.is_set()


async def test_nobody_asks_while_nobody_watches() -> None:
    questions = Questions()
    async with LiveRoom(questions) as room:
        assert not room.polls()
        async with room.watch(Wanted()):
            assert room.polls()
            async with room.watch(Wanted()):
                pass
            assert room.polls()
        assert not room.polls()
        assert room.watched() == 0
        assert questions.asked == ["end"]


async def test_one_question_serves_all_who_watch_each_its_own() -> None:
    questions, pauses = Questions(), Pauses()
    room = LiveRoom(questions, pause=pauses)
    async with AsyncExitStack() as stack:

        async def watch(wanted: Wanted) -> Watcher:
            return await stack.enter_async_context(room.watch(wanted))

        everything = await watch(Wanted())
        conversions = await watch(Wanted("conversion"))
        people = await watch(Wanted(bots="exclude"))
        bots = await watch(Wanted(bots="only"))
        signups = await watch(Wanted("signup"))
        questions.log += [event("a"), event("b", "conversion"), event("c", bot=True)]
        await pauses.poll()
        assert questions.asked == ["end", "count", "since"]
        assert await news(everything) == (0, ["a", "b", "c"])
        assert await news(conversions) == (0, ["b"])
        assert await news(people) == (0, ["a", "b"])
        assert await news(bots) == (0, ["c"])
        assert nothing_new(signups)
    assert pauses.seconds == [POLL_SECONDS, POLL_SECONDS]


async def test_events_are_only_read_when_something_was_stored() -> None:
    questions, pauses = Questions(), Pauses()
    async with LiveRoom(questions, pause=pauses).watch(Wanted()) as watcher:
        await pauses.poll()
        await pauses.poll()
        questions.log.append(event("a"))
        await pauses.poll()
        await pauses.poll()
        assert questions.asked == ["end", "count", "since", "count", "count", "since", "count"]
        assert await news(watcher) == (0, ["a"])


async def test_who_comes_later_is_told_what_comes_later() -> None:
    questions, pauses = Questions(), Pauses()
    room = LiveRoom(questions, pause=pauses)
    questions.log.append(event("before"))
    async with room.watch(Wanted()) as first:
        questions.log.append(event("a"))
        await pauses.poll()
        async with room.watch(Wanted()) as second:
            assert second.start == at(2)
            questions.log.append(event("b"))
            await pauses.poll()
            assert await news(first) == (0, ["a", "b"])
            assert await news(second) == (0, ["b"])


async def test_who_was_further_at_another_process_is_not_told_twice() -> None:
    questions, pauses = Questions(), Pauses()
    room = LiveRoom(questions, pause=pauses)
    async with room.watch(Wanted()) as here:
        questions.log += [event("a"), event("b")]
        async with room.watch(Wanted(), at(1)) as there:
            assert there.start == at(2)
            assert nothing_new(there)
            assert await news(here) == (0, ["a", "b"])


async def test_a_slow_reader_gets_the_newest_and_the_number_of_the_others() -> None:
    questions, pauses = Questions(), Pauses()
    async with LiveRoom(questions, pause=pauses).watch(Wanted()) as watcher:
        for number in range(MOST_TOLD + 30):
            questions.log.append(event(f"{number}"))
            await pauses.poll()
        assert len(watcher._events) == MOST_TOLD
        skipped, told = await news(watcher)
        assert skipped == 30
        assert told == [f"{number}" for number in range(30, MOST_TOLD + 30)]
        questions.log += [event(f"again {number}") for number in range(3 * MOST_TOLD)]
        await pauses.poll()
        skipped, told = await news(watcher)
        assert skipped == 2 * MOST_TOLD
        assert told[-1] == f"again {3 * MOST_TOLD - 1}"


async def test_while_clickhouse_is_away_it_says_so_once_and_asks_ever_more_rarely() -> None:
    questions, pauses = Questions(), Pauses()
    room = LiveRoom(questions, pause=pauses)
    async with room.watch(Wanted()) as watcher:
        questions.away = True
        for _ in range(3):
            await pauses.poll()
        assert (await watcher.news()).stale
        for _ in range(5):
            await pauses.poll()
        told = await watcher.news()
        assert not told.stale
        assert not told.fresh
        assert pauses.seconds[:3] == [POLL_SECONDS, 2 * POLL_SECONDS, 4 * POLL_SECONDS]
        assert max(pauses.seconds) == pauses.seconds[-1] == LONGEST_POLL_SECONDS

        questions.log.append(event("meanwhile"))
        questions.away = False
        await pauses.poll()
        told = await watcher.news()
        assert told.fresh
        assert names(told.events) == ["meanwhile"]
        assert pauses.seconds[-1] == POLL_SECONDS


async def test_who_comes_while_clickhouse_is_away_is_not_told_that_it_is_back() -> None:
    questions, pauses = Questions(), Pauses()
    room = LiveRoom(questions, pause=pauses)
    async with room.watch(Wanted()):
        questions.away = True
        await pauses.poll()
        async with room.watch(Wanted()) as late:
            questions.away = False
            await pauses.poll()
            told = await late.news()
            assert not told.fresh
            assert not told.stale


async def test_while_clickhouse_is_away_nobody_can_begin_and_no_place_is_taken() -> None:
    questions = Questions()
    room = LiveRoom(questions)
    questions.away = True
    with pytest.raises(Problem) as caught:
        async with room.watch(Wanted()):
            raise AssertionError("let in")
    assert caught.value.status == 503
    assert room.watched() == 0
    questions.away = False
    async with room.watch(Wanted()):
        assert room.polls()


async def test_there_are_only_so_many_places() -> None:
    room = LiveRoom(Questions(), most=2)
    async with room.watch(Wanted()):
        async with room.watch(Wanted()):
            with pytest.raises(Problem) as caught:
                async with room.watch(Wanted()):
                    raise AssertionError("let in")
            assert caught.value.status == 503
            assert int(caught.value.headers["Retry-After"]) >= 1
        async with room.watch(Wanted()):
            assert room.watched() == 2


async def test_a_poller_that_fails_ends_all_streams_and_the_next_begins_another() -> None:
    questions, pauses = Questions(), Pauses()
    room = LiveRoom(questions, pause=pauses)
    async with room.watch(Wanted()) as watcher:
        questions.broken = True
        (await pauses._begun.get()).set()
        async with asyncio.timeout(SOON):
            assert (await watcher.news()).ended
        questions.broken = False
        async with room.watch(Wanted()) as another:
            questions.log.append(event("a"))
            await pauses.poll()
            assert await news(another) == (0, ["a"])


async def test_who_is_slow_to_end_is_told_nothing_of_the_next_poller() -> None:
    """It begins further on: behind what it tells the client would miss what lies between."""
    questions, pauses = Questions(), Pauses()
    room = LiveRoom(questions, pause=pauses)
    async with room.watch(Wanted()) as slow:
        questions.broken = True
        (await pauses._begun.get()).set()
        async with asyncio.timeout(SOON):
            await slow._changed.wait()
        assert not room.polls()
        questions.broken = False
        questions.log.append(event("between"))
        async with room.watch(Wanted()) as another:
            questions.log.append(event("a"))
            await pauses.poll()
            assert await news(another) == (0, ["a"])
            assert await news(slow) == (0, [])


async def test_who_comes_while_the_poller_fails_begins_another() -> None:
    questions, pauses = Questions(), Pauses()
    room = LiveRoom(questions, pause=pauses)
    async with room.watch(Wanted()):
        questions.log.append(event("a"))
        counted = questions.count

        async def count() -> int:
            poller = room._poller
            assert poller is not None
            poller.cancel()
            room._poller = None
            return await counted()

        questions.count = count  # type: ignore[method-assign]
        async with room.watch(Wanted(), at(1)) as watcher:
            questions.count = counted  # type: ignore[method-assign]
            assert room.polls()
            assert watcher.start == at(1)


def a_watcher(*events: LiveEvent) -> Watcher:
    watcher = Watcher(Wanted(), at(0))
    if events:
        watcher.put(Batch(events, {("page_view", False): len(events)}, at(len(events))))
    return watcher


async def test_a_stream_where_nothing_happens_is_kept_alive_and_ends_in_time() -> None:
    told = [
        chunk
        async for chunk in tell(
            a_watcher(), [b"retry: 1000\n\n"], ends(), seconds=0.2, keep_alive=0.01
        )
    ]
    assert told[0] == b"retry: 1000\n\n"
    assert len(told) > 3
    assert set(told[1:]) == {KEEPALIVE_COMMENT}


async def test_a_stream_without_time_says_what_is_there() -> None:
    told = tell(a_watcher(event("late")), [b"first\n\n", b"next\n\n"], ends(), seconds=0)
    assert [chunk async for chunk in told] == [b"first\n\nnext\n\n"]


async def test_a_stream_ends_with_the_server() -> None:
    ending = asyncio.Event()
    told = tell(a_watcher(), [], ends(ending), seconds=300)
    coming = asyncio.create_task(anext(told, b"ended"))
    ending.set()
    async with asyncio.timeout(SOON):
        assert await coming == b"ended"


async def test_a_stream_ends_once_its_credentials_do_not_hold() -> None:
    told = tell(a_watcher(), [], ends(held=[True, True, False]), seconds=300, keep_alive=0.01)
    async with asyncio.timeout(SOON):
        assert [chunk async for chunk in told] == [KEEPALIVE_COMMENT, KEEPALIVE_COMMENT]


async def test_credentials_are_looked_at_however_much_there_is_to_tell() -> None:
    watcher = a_watcher(event("0"))
    told = tell(watcher, [], ends(held=[False]), seconds=300, keep_alive=0.01)
    async with asyncio.timeout(SOON):
        async for chunk in told:
            assert chunk == event("0").frame
            watcher.put(Batch([event("0")], {("page_view", False): 1}, at(0)))


async def test_what_happens_is_told_in_its_order() -> None:
    watcher = a_watcher(*(event(f"{number}") for number in range(MOST_TOLD + 1)))
    watcher.set_stale(stale=True)
    told = tell(watcher, [], ends(), seconds=300)
    async with asyncio.timeout(SOON):
        text = (await anext(told)).decode()
        assert text.startswith('event: skipped\ndata: {"count":1}\n\ndata: 1\n\ndata: 2\n\n')
        assert text.endswith(f'event: stale\ndata: {{"detail":"{STALE}"}}\n\n')
        watcher.put(Batch([event("x")], {("page_view", False): 1}, at(0)))
        watcher.set_stale(stale=False)
        assert await anext(told) == b"event: fresh\ndata: {}\n\ndata: x\n\n"
    await told.aclose()


async def test_large_events_go_in_pieces() -> None:
    large = LiveEvent("page_view", False, b"data: " + 20_000 * b"x" + b"\n\n")
    told = tell(a_watcher(*(MOST_TOLD * [large])), [], ends(), seconds=0.2)
    chunks = [chunk async for chunk in told]
    assert b"".join(each for each in chunks if each != KEEPALIVE_COMMENT) == MOST_TOLD * large.frame
    assert max(map(len, chunks)) < 100_000


async def test_a_reader_that_stands_still_loses_its_place() -> None:
    questions = Questions()
    room = LiveRoom(questions)
    questions.log.append(event("a"))
    live = Live(
        room,
        questions,
        LiveQuestion(seconds=0),
        None,
        ends(),
        still_seconds=0.05,
    )

    async def receive() -> MutableMapping[str, Any]:  # as ASGI types it
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def send(message: MutableMapping[str, Any]) -> None:  # as ASGI types it
        if message["type"] == "http.response.body":
            assert room.watched() == 1
            await asyncio.Event().wait()

    async with asyncio.timeout(SOON):
        await live({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)
    assert room.watched() == 0
    assert not room.polls()


async def test_a_reader_that_stands_still_does_not_keep_the_api_from_ending() -> None:
    questions, ending = Questions(), asyncio.Event()
    room = LiveRoom(questions)
    questions.log.append(event("a"))
    live = Live(room, questions, LiveQuestion(), None, ends(ending), hurry_seconds=0.05)

    async def receive() -> MutableMapping[str, Any]:  # as ASGI types it
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def send(message: MutableMapping[str, Any]) -> None:  # as ASGI types it
        if message["type"] == "http.response.body":
            ending.set()
            await asyncio.Event().wait()

    async with asyncio.timeout(SOON):
        await live({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)
    assert room.watched() == 0


async def body_of(
    room: LiveRoom, questions: Questions, after: Position | None = None, limit: int = 2
) -> str:
    """What is told to who stays no longer than that."""
    question = LiveQuestion(seconds=0, limit=limit)
    body = b""

    async def receive() -> MutableMapping[str, Any]:  # as ASGI types it
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def send(message: MutableMapping[str, Any]) -> None:  # as ASGI types it
        nonlocal body
        body += message.get("body", b"")

    live = Live(room, questions, question, after, ends())
    await live({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)
    return body.decode()


async def test_who_comes_back_late_begins_anew() -> None:
    questions = Questions()
    questions.log += [event("a"), event("b"), event("c")]
    room = LiveRoom(questions)
    known = at(1)
    assert "data: b\n\ndata: c\n\n" in await body_of(room, questions, known, limit=1)
    forgotten = Position(known.newest_ms - 600_001, known.last)
    told = await body_of(room, questions, forgotten, limit=1)
    assert "data: c\n\n" in told
    assert "data: b\n\n" not in told


async def test_where_there_is_no_event_the_beginning_has_an_id() -> None:
    questions = Questions()
    told = await body_of(LiveRoom(questions), questions)
    assert told == f"id: {at(0).text()}\nretry: 1000\n\n"
