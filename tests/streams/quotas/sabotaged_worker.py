"""The quotas worker with one safeguard switched off, or stopped at one exact moment: for tests.

`SABOTAGE` names the safeguard, `STOPPED` the moment. Where it says so, the first command whose
reason is `here` makes it happen.
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from typing import NoReturn
from uuid import UUID

from deploy.commands.quotas import quotas
from streams.group.lease import Lease
from streams.group.places import Place
from streams.group.table import KeyedStore
from streams.group.table_lane import Flight, TableLane
from streams.quotas import accountant, stored
from streams.quotas.account import Account, Remembered
from streams.quotas.accountant import Accountant
from streams.quotas.stored import account_value
from streams.writer import Entry, Writer, Written

HERE = b'"reason":"here"'

_put = TableLane._put
_submit = TableLane.submit
_write_alone = Writer.write_alone
_finish = TableLane._finish


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def _is_here(flight: Flight) -> bool:
    return flight.record is not None and HERE in (flight.record.value or b"")


async def killed_before_the_change(self: TableLane, flights: Sequence[Flight]) -> None:
    if any(map(_is_here, self._flights)):
        _die()
    await _put(self, flights)


async def killed_after_the_change(self: TableLane, flights: Sequence[Flight]) -> None:
    await _put(self, flights)
    if any(map(_is_here, self._flights)):
        _die()


async def killed_before_the_local_write(self: TableLane, flights: Sequence[Flight]) -> None:
    if any(map(_is_here, self._flights)):
        self._store.write = lambda *_: _die()  # type: ignore[method-assign]
    await _put(self, flights)


async def killed_within_the_change(
    self: Writer, topic: str, partition: int, entries: Sequence[Entry]
) -> list[Written]:
    """The account is written, what is remembered beside it is not."""
    if any(HERE in (value or b"") for _, value, _ in entries):
        await _write_alone(self, topic, partition, entries[:1])
        _die()
    return await _write_alone(self, topic, partition, entries)


def killed_before_the_acknowledgement(self: TableLane, flight: Flight) -> None:
    if _is_here(flight):
        _die()
    _finish(self, flight)


async def held_before_the_change(self: TableLane, flights: Sequence[Flight]) -> None:
    if any(map(_is_here, self._flights)):
        await asyncio.Event().wait()
    await _put(self, flights)


async def frozen_before_the_change(self: TableLane, flights: Sequence[Flight]) -> None:
    if any(map(_is_here, self._flights)):
        os.kill(os.getpid(), signal.SIGSTOP)
    await _put(self, flights)


MOMENTS = {
    "before_the_change": (TableLane, "_put", killed_before_the_change),
    "within_the_change": (Writer, "write_alone", killed_within_the_change),
    "before_the_local_write": (TableLane, "_put", killed_before_the_local_write),
    "after_the_change": (TableLane, "_put", killed_after_the_change),
    "before_the_acknowledgement": (TableLane, "_finish", killed_before_the_acknowledgement),
    "frozen": (TableLane, "_put", frozen_before_the_change),
    "held": (TableLane, "_put", held_before_the_change),
}


def nothing_is_applied(self: Accountant, case: object, value: bytes) -> bool:
    return False


def nothing_is_remembered(case: object) -> dict[UUID, Remembered]:
    return {}


def acknowledged_at_once(self: TableLane, flight: Flight) -> None:
    _submit(self, flight)
    if flight.event is not None:
        flight.event.ack()


def without_outbox(place: Place, account: Account, outbox: Sequence[bytes]) -> bytes:
    return account_value(place, account, ())


def everything_is_newer(self: KeyedStore, value: bytes, current: bytes) -> bool:
    return False


def any_offset(self: TableLane, written: Written) -> None:
    self._next_offset = written.offset + written.count


def always_holds(self: Lease) -> None:
    pass


def main() -> None:
    match os.environ.get("SABOTAGE"):
        case "no_deduplication":
            Accountant._is_applied = nothing_is_applied  # type: ignore[method-assign]
            accountant._past = nothing_is_remembered
        case "no_memory":
            accountant._past = nothing_is_remembered
        case "no_outbox":
            stored.account_value = without_outbox
        case "no_confirmation":
            TableLane.submit = acknowledged_at_once  # type: ignore[method-assign]
        case "no_merge":
            KeyedStore.is_older = everything_is_newer  # type: ignore[method-assign]
        case "no_fence":
            TableLane._must_be_next = any_offset  # type: ignore[method-assign]
            Lease.must_hold = always_holds  # type: ignore[method-assign]
    if moment := os.environ.get("STOPPED"):
        owner, name, instead = MOMENTS[moment]
        setattr(owner, name, instead)
    quotas()


main()
