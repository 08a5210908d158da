"""What a partition's lane owes to the lanes beside it."""

import asyncio

from streams.group.reading import Incoming
from streams.group.work_lane import MAX_IN_LANE, Slot, WorkLane


class Read:
    """A message that nobody waits for."""

    def ack(self) -> bool:
        return True


def ignored(_: BaseException) -> None:
    pass


async def test_work_that_is_dropped_before_its_first_step_gives_its_slot_back() -> None:
    slots = asyncio.Semaphore(1)
    begun: list[int] = []

    async def work(_: Slot) -> None:
        begun.append(1)

    lane = WorkLane(0, slots, ignored)
    lane.submit(Read(), Incoming(0, 0, None, b"", ()), work)
    # Until the lane has taken the slot, and no further.
    for _ in range(10):
        if slots.locked():
            break
        await asyncio.sleep(0)
    lane.close()
    await asyncio.wait_for(slots.acquire(), 5)
    assert begun == []


async def test_who_waits_for_room_in_a_lane_that_is_closed_waits_no_longer() -> None:
    async def work(_: Slot) -> None:
        await asyncio.Event().wait()

    lane = WorkLane(0, asyncio.Semaphore(1), ignored)
    for offset in range(MAX_IN_LANE):
        lane.submit(Read(), Incoming(offset, 0, None, b"", ()), work)
    waiting = asyncio.create_task(lane.room())
    for _ in range(10):
        await asyncio.sleep(0)
    assert lane.is_full
    assert not waiting.done()
    lane.close()
    await asyncio.wait_for(waiting, 5)
