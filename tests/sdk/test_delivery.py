"""Every event ends in exactly one count, whatever happens to Weir and to the host."""

import asyncio
import contextlib
import errno
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from time import monotonic

import pytest

from tests.sdk.hosts import Kept, quiet_client
from weir_sdk import (
    EventRejected,
    Message,
    Outcome,
    Refused,
    Rejection,
    Unavailable,
    WeirClient,
    WeirUnavailable,
)
from weir_sdk.limits import MAX_REQUEST_BYTES


def ids(kept: Kept) -> list[str]:
    return [message.event_id for batch in kept.batches for message in batch]


def holds(client: WeirClient) -> bool:
    counts = client.counts
    return counts.recorded == counts.sent + counts.rejected + counts.dropped + counts.buffered


async def test_batches_keep_to_their_bounds_and_lose_nothing() -> None:
    kept = Kept()
    client = quiet_client(kept, batch_size=100)
    given = [client.enqueue("page_view", f"/{number}") for number in range(250)]
    big = {"text": "x" * 16_000}
    given += [client.enqueue("page_view", f"/{number}", metadata=big) for number in range(100)]
    await client.close()
    assert ids(kept) == given
    assert all(len(batch) <= 100 for batch in kept.batches)
    sizes = [sum(len(each.body) + 1 for each in batch) + 1 for batch in kept.batches]
    assert max(sizes) <= MAX_REQUEST_BYTES
    assert client.counts.sent == client.counts.recorded == 350


class Busy(Kept):
    """While one batch is under way the next event comes."""

    def __init__(self) -> None:
        super().__init__()
        self.client = WeirClient(transport=self, flush_interval=0.1)
        self.times: list[float] = []
        self.enough = threading.Event()

    async def send(self, batch: Sequence[Message]) -> Outcome:
        self.times.append(monotonic())
        if len(self.times) < 5:
            self.client.enqueue("page_view", "/")
        else:
            self.enough.set()
        return await super().send(batch)


async def test_what_comes_while_a_batch_is_sent_waits_for_the_next_look() -> None:
    busy = Busy()
    busy.client.enqueue("page_view", "/")
    assert await asyncio.to_thread(busy.enough.wait, 10)
    await busy.client.close()
    assert all(after - before > 0.09 for before, after in pairwise(busy.times))
    assert busy.client.counts.sent == 5


async def test_a_full_buffer_drops_the_new_ones_and_counts_them() -> None:
    kept = Kept()
    client = quiet_client(kept, max_buffer=10)
    given = [client.enqueue("page_view", "/") for _ in range(25)]
    assert (client.counts.dropped, client.counts.buffered) == (15, 10)
    assert holds(client)
    await client.close()
    assert ids(kept) == given[:10]
    assert (client.counts.sent, client.counts.dropped, client.counts.recorded) == (10, 15, 25)


async def test_what_failed_is_sent_again_under_the_same_ids() -> None:
    kept = Kept(answers=[Unavailable("away"), Unavailable("slow", in_doubt=True)])
    client = quiet_client(kept, give_up_after=30)
    event_id = client.enqueue("page_view", "/")
    await client.close()
    assert ids(kept) == [event_id] * 3
    assert (client.counts.sent, client.counts.dropped) == (1, 0)


async def test_what_is_given_up_is_dropped_and_may_be_in_doubt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # The second time it is told to wait for longer than it may take.
    away = Unavailable("away", retry_after=60)
    kept = Kept(answers=[Unavailable("slow", in_doubt=True), away])
    client = quiet_client(kept, give_up_after=30)
    client.enqueue("page_view", "/")
    await client.close()
    assert (client.counts.sent, client.counts.dropped, client.counts.in_doubt) == (0, 1, 1)
    assert "1 dropped: away" in caplog.text


class Timed(Kept):
    """Notes when it was asked."""

    def __init__(self, answers: Sequence[Unavailable]) -> None:
        super().__init__(answers=list(answers))
        self.times: list[float] = []
        self.asked_first = threading.Event()
        self.asked_again = threading.Event()

    async def send(self, batch: Sequence[Message]) -> Outcome:
        self.times.append(monotonic())
        (self.asked_again if self.asked_first.is_set() else self.asked_first).set()
        return await super().send(batch)


async def test_who_is_told_to_wait_for_longer_than_a_batch_may_keeps_what_comes_meanwhile() -> None:
    timed = Timed([Unavailable("too often", retry_after=1)])
    client = WeirClient(transport=timed, flush_interval=0.02, give_up_after=0.2)
    client.enqueue("page_view", "/given-up")
    assert await asyncio.to_thread(timed.asked_first.wait, 10)
    given = [client.enqueue("page_view", f"/{number}") for number in range(3)]
    assert await asyncio.to_thread(timed.asked_again.wait, 10)
    await client.close()
    assert timed.times[1] - timed.times[0] >= 1
    assert ids(timed)[1:] == given
    assert (client.counts.sent, client.counts.dropped) == (3, 1)


async def test_who_stops_does_not_wait_as_it_was_told() -> None:
    timed = Timed([Unavailable("too often", retry_after=60)])
    client = WeirClient(transport=timed, flush_interval=0.02, give_up_after=0.2)
    client.enqueue("page_view", "/given-up")
    assert await asyncio.to_thread(timed.asked_first.wait, 10)
    client.enqueue("page_view", "/last")
    async with asyncio.timeout(5):
        await client.close()
    assert (client.counts.sent, client.counts.dropped) == (1, 1)


async def test_a_refusal_is_not_tried_again() -> None:
    kept = Kept(answers=[Refused("check the write key")])
    client = quiet_client(kept)
    client.enqueue("page_view", "/")
    await client.close()
    assert len(kept.batches) == 1
    assert (client.counts.dropped, client.counts.in_doubt) == (1, 0)


async def test_rejected_events_are_counted_beside_the_sent_ones() -> None:
    kept = Kept(answers=[Outcome((Rejection(1, "path", "is too long"),))])
    client = quiet_client(kept)
    for _ in range(3):
        client.enqueue("page_view", "/")
    await client.close()
    assert (client.counts.sent, client.counts.rejected) == (2, 1)
    assert holds(client)


class Stuck(Kept):
    """Never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()

    async def send(self, batch: Sequence[Message]) -> Outcome:
        self.batches.append(list(batch))
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")


async def test_stopping_is_bounded_and_counts_what_is_left() -> None:
    client = quiet_client(Stuck(), shutdown_timeout=0.2, batch_size=1, give_up_after=60)
    client.enqueue("page_view", "/")
    client.enqueue("page_view", "/")
    began = monotonic()
    await client.close()
    assert monotonic() - began < 2
    counts = client.counts
    assert (counts.dropped, counts.in_doubt, counts.buffered) == (2, 1, 0)


class Broken(Kept):
    async def send(self, batch: Sequence[Message]) -> Outcome:
        raise ZeroDivisionError


async def test_a_transport_that_breaks_ends_nothing() -> None:
    client = quiet_client(Broken())
    for _ in range(3):
        client.enqueue("page_view", "/")
    await client.close()
    assert (client.counts.dropped, client.counts.in_doubt) == (3, 3)


class Forgetful(Kept):
    async def send(self, batch: Sequence[Message]) -> Outcome:
        return None  # type: ignore[return-value]


async def test_a_transport_that_returns_nothing_leaves_its_events_in_doubt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = quiet_client(Forgetful())
    client.enqueue("page_view", "/")
    with pytest.raises(WeirUnavailable, match="the transport failed"):
        await client.page_view("/")
    await client.close()
    assert (client.counts.dropped, client.counts.in_doubt, client.counts.buffered) == (2, 2, 0)
    assert "must return an Outcome" in caplog.text


async def test_an_awaited_event_returns_its_id_when_it_is_confirmed() -> None:
    kept = Kept()
    async with quiet_client(kept) as client:
        moment = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
        given = "01a20d57-f758-74e8-bf5e-1d2d947e0a67"
        event_id = await client.conversion(
            "/signup", user_id="u-42", metadata={"plan": "pro"}, occurred_at=moment, event_id=given
        )
        assert event_id == given
        assert kept.events == [
            {
                "event_type": "conversion",
                "path": "/signup",
                "event_id": given,
                "occurred_at": "2026-11-24T09:30:00.000Z",
                "user_id": "u-42",
                "metadata": {"plan": "pro"},
            }
        ]
        await client.page_view("/")
        await client.event("signed_up", "/")
    assert client.counts.sent == 3


async def test_an_awaited_event_says_why_it_was_not_taken() -> None:
    client = quiet_client(Kept(answers=[Outcome((Rejection(0, "occurred_at", "is too late"),))]))
    with pytest.raises(EventRejected, match="too late") as rejected:
        await client.page_view("/")
    assert rejected.value.field == "occurred_at"
    client = quiet_client(Kept(answers=[Unavailable("slow", in_doubt=True)] * 50))
    with pytest.raises(WeirUnavailable, match="slow") as unavailable:
        await client.page_view("/", within=0.3)
    assert unavailable.value.in_doubt
    assert holds(client)
    await client.close()


class Frozen(Kept):
    """Holds its whole thread, as a name that nobody resolves does."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()

    async def start(self) -> None:
        self.goes_on.wait(30)


async def test_an_awaited_event_is_answered_in_time_while_the_thread_stands_still() -> None:
    frozen = Frozen()
    client = quiet_client(frozen)
    began = monotonic()
    with pytest.raises(WeirUnavailable, match="in time") as unavailable:
        await client.page_view("/", within=0.2)
    assert monotonic() - began < 10
    assert unavailable.value.in_doubt
    frozen.goes_on.set()
    await client.close()
    # In doubt, as was said: it was delivered, and its id makes it count once.
    assert ids(frozen) == [unavailable.value.event_id]
    assert (client.counts.recorded, client.counts.sent) == (1, 1)


async def test_a_process_without_a_file_left_keeps_its_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = Kept()
    client = quiet_client(kept)
    with monkeypatch.context() as patch:

        def refuse() -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        patch.setattr(asyncio, "SelectorEventLoop", refuse)
        first = client.enqueue("page_view", "/")
        with pytest.raises(WeirUnavailable, match="no thread"):
            await client.page_view("/awaited", within=0.1)
        second = client.enqueue("page_view", "/")
        assert (client.counts.recorded, client.counts.buffered) == (3, 2)

    async def start_again() -> None:
        while not kept.batches:
            await asyncio.sleep(0.05)
            given.append(client.enqueue("page_view", "/"))
            await client.close()

    given = [first, second]
    await asyncio.wait_for(start_again(), 10)
    assert ids(kept) == given
    assert holds(client)


async def test_an_awaited_event_is_told_when_the_client_stops() -> None:
    stuck = Stuck()
    client = quiet_client(stuck, shutdown_timeout=0)
    waiting = asyncio.create_task(client.page_view("/", within=60))
    assert await asyncio.to_thread(stuck.asked.wait, 10)
    await client.close()
    with pytest.raises(WeirUnavailable, match="stopped"):
        await waiting
    assert client.counts.in_doubt == 1


class SlowToStop(Kept):
    """Takes a while to stop, in seconds, and says when it began to."""

    def __init__(self, seconds: float = 0.3) -> None:
        super().__init__()
        self._seconds = seconds
        self.stopping = threading.Event()

    async def stop(self) -> None:
        self.stopping.set()
        await asyncio.sleep(self._seconds)
        await super().stop()


async def test_what_comes_while_the_client_closes_is_delivered_all_the_same() -> None:
    transport = SlowToStop()
    client = quiet_client(transport)
    await client.page_view("/before")
    closing = asyncio.create_task(client.close())
    assert await asyncio.to_thread(transport.stopping.wait, 10)
    client.enqueue("page_view", "/left")
    async with asyncio.timeout(10):
        await client.conversion("/awaited", within=5)
        await closing
        await client.close()
    assert {event["path"] for event in transport.events} == {"/before", "/left", "/awaited"}
    assert (client.counts.sent, client.counts.buffered) == (3, 0)
    assert holds(client)


async def test_what_cannot_wait_for_the_end_of_closing_is_refused_in_time() -> None:
    # Nearly as long as a transport gets.
    transport = SlowToStop(0.9)
    client = quiet_client(transport)
    await client.page_view("/")
    closing = asyncio.create_task(client.close())
    assert await asyncio.to_thread(transport.stopping.wait, 10)
    with pytest.raises(WeirUnavailable, match="closing") as refused:
        await client.page_view("/", within=0.05)
    assert not refused.value.in_doubt
    await closing
    assert (client.counts.sent, client.counts.dropped, client.counts.buffered) == (1, 1, 0)


async def test_closing_waits_for_awaited_events_within_its_bound() -> None:
    stuck = Stuck()
    client = quiet_client(stuck)
    waiting = asyncio.create_task(client.page_view("/", within=0.5))
    assert await asyncio.to_thread(stuck.asked.wait, 10)
    await client.close()
    # Its own time was over, not the client's.
    with pytest.raises(WeirUnavailable, match="in time"):
        await waiting


class Clinging(Stuck):
    """Does not let itself be cancelled."""

    async def send(self, batch: Sequence[Message]) -> Outcome:
        self.asked.set()
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()


async def test_a_transport_that_will_not_be_cancelled_leaves_nobody_waiting() -> None:
    clinging = Clinging()
    client = quiet_client(clinging, shutdown_timeout=0)
    waiting = asyncio.create_task(client.page_view("/", within=60))
    assert await asyncio.to_thread(clinging.asked.wait, 10)
    await client.close()
    with pytest.raises(WeirUnavailable, match="stopped"):
        await asyncio.wait_for(waiting, 10)
    assert (client.counts.dropped, client.counts.in_doubt, client.counts.buffered) == (1, 1, 0)


async def test_events_may_come_from_many_threads() -> None:
    kept = Kept()
    client = WeirClient(transport=kept, flush_interval=0.01, max_buffer=500)

    def work() -> None:
        for _ in range(1000):
            client.enqueue("page_view", "/")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    await client.close()
    assert client.counts.recorded == 4000
    assert client.counts.sent == len(set(ids(kept))) == len(ids(kept))
    assert client.counts.sent + client.counts.dropped == 4000


PROGRAM = """
import os, sys
from weir_sdk import Outcome, WeirClient

class Prints:
    async def start(self): pass
    async def stop(self): pass
    async def send(self, batch):
        os.write(1, f"{os.getpid() == parent} {len(batch)}\\n".encode())
        return Outcome()

parent = os.getpid()
transport = Prints()
client = WeirClient(transport=transport, flush_interval=3600)
client.enqueue("page_view", "/")
"""


def output_of(program: str) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + program],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert done.stderr == ""
    delivered = Counter[str]()
    for line in done.stdout.splitlines():
        of_parent, count = line.split()
        delivered[of_parent] += int(count)
    return delivered


def test_what_is_left_is_delivered_at_the_interpreters_exit() -> None:
    assert output_of("") == {"True": 1}


def test_what_comes_while_the_client_closes_is_delivered_at_the_interpreters_exit() -> None:
    program = """
import asyncio

async def stop():
    del transport.stop
    client.enqueue("page_view", "/while-it-stops")

transport.stop = stop
asyncio.run(client.close())
"""
    assert output_of(program) == {"True": 2}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_after_a_fork_each_process_delivers_its_own() -> None:
    program = """
if os.fork() == 0:
    assert client.counts.recorded == 0
    client.enqueue("page_view", "/")
    client.enqueue("page_view", "/")
    sys.exit()
os.wait()
"""
    assert output_of(program) == {"False": 2, "True": 1}
