"""Use that is reported as one: what a customer used of a meter in a stretch of time.

A window is summed up until its time is over; then it is a report like any other, and what comes
late makes another one. Of a customer all happens one after the other, in the order of the log: a
window that a command has changed knows the command by its place.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Final, Protocol
from uuid import UUID

import msgspec

from schemas.billing import MAX_SUM, window_report_id_for
from schemas.meters import Meter
from streams.billing.calling import Clock
from streams.billing.ledger import Ledger
from streams.billing.locks import Locks
from streams.billing.reports import (
    Report,
    Window,
    closed_key,
    micros,
    planned,
    read_window,
    report_key,
    stored,
    window_key,
    windows_prefix,
)
from streams.group.places import Place, Put, place_of

LATE_SECONDS: Final = 5
"""So long after its end a window waits for what was under way."""

LOOK_SECONDS: Final = 0.5
_MICROS: Final = 1_000_000


class Send(Protocol):
    async def __call__(
        self, ledger: Ledger, report: Report, place: Place, *, is_new: bool = False
    ) -> None:
        """`is_new`: nobody can have sent it before."""


Finish = Callable[[Ledger, Report, Place], Awaitable[None]]
_Key = tuple[str, str, int]


class Windows:
    """Of all partitions that this worker owns."""

    def __init__(
        self,
        send: Send,
        finish: Finish,
        locks: Locks,
        clock: Clock,
        failed: Callable[[BaseException], None],
        key_is_well: Callable[[], Awaitable[None]],
    ) -> None:
        """`failed` ends the worker: nobody waits for what becomes of a window."""
        self._failed = failed
        self._key_is_well = key_is_well
        self._send = send
        self._finish = finish
        self._locks = locks
        self._clock = clock
        self._open: dict[int, tuple[Ledger, dict[_Key, int]]] = {}
        self._flushing: dict[tuple[int, _Key], asyncio.Task[None]] = {}

    def open(self, ledger: Ledger) -> None:
        """Takes up what the partition's last owner left: windows, and reports of them."""
        due: dict[_Key, int] = {}
        for _, value in ledger.all(windows_prefix()):
            window = read_window(value)
            last = ledger.report(_report_id(window, window.revision - 1))
            if window.value or (last is not None and last.state == "planned"):
                due[_key(window)] = window.start + window.seconds + LATE_SECONDS
        self._open[ledger.lane.partition] = ledger, due

    def close(self, partition: int) -> None:
        """Gives the partition up; whoever owns it next goes on."""
        self._open.pop(partition, None)
        for (owner, _), task in tuple(self._flushing.items()):
            if owner == partition:
                task.cancel()

    async def collect(
        self, ledger: Ledger, report: Report, meter: Meter, place: Place, now: datetime
    ) -> None:
        """Adds a report to its window. The customer's lock is held."""
        start = report.occurred_at // _MICROS // meter.window * meter.window
        key = window_key(report.customer_id, meter.name, start)
        closed = closed_key(report.customer_id, meter.name, start)
        value = ledger.lane.get(key) or ledger.lane.get(closed)
        window = _new(report, meter, start) if value is None else read_window(value)
        while taken := ledger.report(_report_id(window, window.revision)):
            # It was killed while the window became a report; or the window was forgotten.
            window = _rest(window, taken)
        puts: list[Put] = []
        if value is not None and _has_made(place, value):
            # It was killed between the two: the report is part of the window, and does not know.
            within = window.revision if window.value else window.revision - 1
        else:
            within = window.revision
            window = msgspec.structs.replace(
                window,
                value=min(window.value + report.value, MAX_SUM),
                latest=max(window.latest, report.occurred_at),
                user_id=report.user_id,
            )
            # First: what the report lacks, the window's place makes good.
            puts += [(key, stored(place, window)), (closed, None)]
        report = msgspec.structs.replace(report, within=_report_id(window, within))
        if puts:
            await ledger.lane.put(puts)
        await self._finish(ledger, report.changed("collected", now), place)
        _, due = self._open[ledger.lane.partition]
        due[_key(window)] = start + meter.window + LATE_SECONDS

    async def run(self) -> None:
        """Reports windows whose time is over; returns never."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = self._clock().timestamp()
            for partition, (ledger, due) in tuple(self._open.items()):
                for key in [key for key, at in due.items() if at <= now]:
                    if (partition, key) not in self._flushing:
                        task = asyncio.create_task(self._flush(ledger, key, due))
                        self._flushing[partition, key] = task
                        task.add_done_callback(partial(self._ended, (partition, key)))

    async def settle(self, ledger: Ledger, customer_id: str) -> None:
        """Reports what the customer's windows hold, also those that are not over."""
        _, due = self._open[ledger.lane.partition]
        for key in [each for each in due if each[0] == customer_id]:
            await self._flush(ledger, key, due)

    def _ended(self, at: tuple[int, _Key], task: "asyncio.Task[None]") -> None:
        self._flushing.pop(at, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)

    async def _flush(self, ledger: Ledger, key: _Key, due: dict[_Key, int]) -> None:
        customer_id, meter, start = key
        async with self._locks.of(customer_id):
            at = window_key(customer_id, meter, start)
            value = ledger.lane.get(at)
            if value is None:
                due.pop(key, None)
                return
            window, place = read_window(value), place_of(value)
            last = ledger.report(_report_id(window, window.revision - 1))
            if last is not None and last.state == "planned":
                await self._send(ledger, last, place)
            if window.value:
                known = ledger.report(_report_id(window, window.revision))
                if known is None:
                    # What is planned and not sent for a day is uncertain: not with a refused key.
                    await self._key_is_well()
                report = known or planned(_summed(window, micros(self._clock())), self._clock())
                rest = _rest(window, report)
                await ledger.lane.put([(report_key(report.report_id), stored(place, report))])
                await ledger.lane.put([(at, stored(place, rest))])
                await self._send(ledger, report, place, is_new=known is None)
                window = rest
            if window.value:
                return
            due.pop(key, None)
            # Out of the way of those that are open, and known for as long as reports are.
            closed = closed_key(customer_id, meter, start)
            await ledger.lane.put([(closed, stored(place, window)), (at, None)])


def _key(window: Window) -> _Key:
    return window.customer_id, window.meter, window.start


def _has_made(place: Place, value: bytes) -> bool:
    made = place_of(value)
    return made.topic_id == place.topic_id and made.offset >= place.offset


def _report_id(window: Window, revision: int) -> UUID:
    return window_report_id_for(window.customer_id, window.meter, window.start, revision)


def _rest(window: Window, report: Report) -> Window:
    """What the window holds beyond its report."""
    return msgspec.structs.replace(
        window, value=window.value - report.value, revision=window.revision + 1
    )


def _new(report: Report, meter: Meter, start: int) -> Window:
    return Window(
        customer_id=report.customer_id,
        meter=meter.name,
        start=start,
        seconds=meter.window,
        revision=0,
        value=0,
        latest=report.occurred_at,
        user_id=report.user_id,
    )


def _summed(window: Window, at: int) -> Report:
    return Report(
        report_id=_report_id(window, window.revision),
        event_id=None,
        meter=window.meter,
        value=window.value,
        occurred_at=window.latest,
        customer_id=window.customer_id,
        user_id=window.user_id,
        state="planned",
        at=at,
    )
