"""Use within a window is one report: the sum is exact, also over kills and what comes late."""

import os
import signal
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import pytest

from schemas.billing import UsageReport
from tests.services import Services
from tests.streams.billing.stage import Stage, a_conversion, customers, staged

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]

METERS: Final = """
currency = "usd"

[meters.conversions]
title = "Conversions"
event_type = "conversion"
value = "value"
window = 3
unit_amount = 2
"""
PEOPLE: Final = 5
EACH: Final = 60


async def test_a_window_is_reported_once_with_its_sum_whatever_is_killed(
    services: Services, tmp_path: Path
) -> None:
    meters = tmp_path / "meters.toml"
    meters.write_text(METERS)
    async with staged(services, tmp_path, workers=0) as stage:
        stage.settings["WEIR_METERS_FILE"] = str(meters)
        worker = stage.start()
        expected = dict.fromkeys(customers(PEOPLE), 0)
        sent = []
        for part in range(3):
            for number in range(PEOPLE * EACH // 3):
                customer = customers(PEOPLE)[number % PEOPLE]
                sent.append(a_conversion(customer=customer, value=2, event_id=uuid4()))
                expected[customer] += 2
            await stage.convert(*sent[-PEOPLE * EACH // 3 :])
            least = (part + 1) * PEOPLE * EACH // 3
            await stage.weir.eventually(partial(collected, stage, least), process=worker)
            os.killpg(worker.pid, signal.SIGKILL)
            await worker.stop(5)
            worker = stage.start()
        # Copies are part of what was reported.
        await stage.convert(*sent[::7])
        await stage.weir.eventually(partial(stage.has_counted, expected), process=worker)
        state = await stage.state()
        assert state["wrong"] == []
        assert state["overlaps"] == 0
        # Far fewer than conversions: a few windows for each of five customers.
        assert state["counted"] <= PEOPLE * 12
        reports = await stage.reports()
        sums = {each.report_id: each for each in reports if each.event_id is None}
        parts = {each.report_id: each for each in reports if each.state == "collected"}
        assert len(parts) == PEOPLE * EACH
        for report_id, each in sums.items():
            within = [part.value for part in parts.values() if part.within == report_id]
            assert each.value == sum(within)

        # What comes late for a window that was reported is another report.
        before = state["counted"]
        late = a_conversion(customer=customers(1)[0], value=5, at=moment_of(sums))
        expected[customers(1)[0]] += 5
        await stage.convert(late)
        await stage.weir.eventually(partial(stage.has_counted, expected), process=worker)
        assert (await stage.state())["counted"] == before + 1
        worker.terminate()
        assert await worker.stop(15) == 0


async def collected(stage: Stage, least: int) -> bool:
    return len({each.report_id for each in await stage.reports() if each.event_id}) >= least


def moment_of(sums: dict[UUID, UsageReport]) -> datetime:
    first = min(each.occurred_at for each in sums.values() if each.customer_id == customers(1)[0])
    return first.astimezone(UTC)
