"""A window whose time is over while Stripe refuses the key: it is not planned, and is new later."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

from schemas.billing import window_report_id_for
from streams.billing.calling import Clock
from streams.billing.ledger import Ledger
from streams.billing.locks import Locks
from streams.billing.reports import Report, Window, report_key, stored, window_key
from streams.billing.windows import Windows
from streams.group.places import Place, Put
from streams.group.table import KeyedStore
from streams.group.table_lane import TableLane
from tests.until import until

CUSTOMER = "cus_1"
METER = "conversions"
START = 1_795_000_020
WINDOW = Window(
    customer_id=CUSTOMER,
    meter=METER,
    start=START,
    seconds=60,
    revision=0,
    value=7,
    latest=START * 1_000_000,
)
AT = window_key(CUSTOMER, METER, START)
PLACE = Place(bytes(16), 5)


class Table:
    """The lane and the store of one partition, without Kafka."""

    partition = 0

    def __init__(self) -> None:
        self.values: dict[bytes, bytes | None] = {AT: stored(PLACE, WINDOW)}

    def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    async def put(self, puts: Sequence[Put]) -> None:
        self.values.update(puts)

    def scan(self, partition: int, after: bytes, most: int) -> list[tuple[bytes, bytes]]:
        found = sorted((key, value) for key, value in self.values.items() if value is not None)
        return [each for each in found if each[0] > after][:most]


class Stage:
    """Windows of one partition, and a key that is refused until it is `mended`."""

    def __init__(self) -> None:
        self.table = Table()
        # Of lane and store it is what windows look at.
        lane, store = cast("TableLane", self.table), cast("KeyedStore", self.table)
        self.ledger = Ledger(lane, store)
        self.mended = asyncio.Event()
        self.asked = 0
        self.sent: list[tuple[Report, bool]] = []
        clock: Clock = lambda: datetime.now(UTC)  # noqa: E731, typed
        self.windows = Windows(
            self._send, self._finish, Locks(), clock, self._fail, self._key_is_well
        )
        self.windows.open(self.ledger)

    def report(self) -> bytes | None:
        report_id: UUID = window_report_id_for(CUSTOMER, METER, START, 0)
        return self.table.get(report_key(report_id))

    async def _key_is_well(self) -> None:
        self.asked += 1
        await self.mended.wait()

    async def _send(
        self, ledger: Ledger, report: Report, place: Place, *, is_new: bool = False
    ) -> None:
        self.sent.append((report, is_new))

    async def _finish(self, ledger: Ledger, report: Report, place: Place) -> None:
        raise AssertionError("nothing is collected here")

    def _fail(self, error: BaseException) -> None:
        raise error


async def test_a_window_is_planned_when_the_key_is_well_and_nobody_can_have_sent_it() -> None:
    stage = Stage()
    running = asyncio.create_task(stage.windows.run())
    await until(lambda: stage.asked == 1)
    assert stage.report() is None
    assert stage.sent == []
    mended_at = datetime.now(UTC)
    stage.mended.set()
    await until(lambda: len(stage.sent) == 1)
    [(report, is_new)] = stage.sent
    assert (report.value, report.state, is_new) == (7, "planned", True)
    # A day from now on it is certain what Stripe has.
    assert report.planned_at >= mended_at.timestamp() * 1_000_000
    running.cancel()


async def test_a_window_that_was_planned_before_a_kill_may_have_been_sent() -> None:
    stage = Stage()
    stage.mended.set()
    running = asyncio.create_task(stage.windows.run())
    await until(lambda: len(stage.sent) == 1)
    running.cancel()
    # Killed before its end was written down: it is planned still.
    again = Stage()
    again.table.values = dict(stage.table.values)
    again.table.values[AT] = stored(PLACE, WINDOW)
    again.windows.open(again.ledger)
    running = asyncio.create_task(again.windows.run())
    await until(lambda: len(again.sent) >= 1)
    assert again.asked == 0
    assert [is_new for _, is_new in again.sent] == [False]
    running.cancel()
