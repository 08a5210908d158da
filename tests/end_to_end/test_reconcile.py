"""Reconcile finds what differs between events, ledger and Stripe; the worker mends it."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import orjson
import pytest

from schemas.billing import UsageCounted, report_id_for
from tests.services import Services
from tests.streams.billing.stage import Stage, a_conversion, staged
from tests.weir import Json, all_taken

pytestmark = [pytest.mark.services, pytest.mark.timeout(280)]

THEN = (datetime.now(UTC) - timedelta(hours=3)).replace(minute=30, second=0, microsecond=0)
METER = "conversions"


async def reconciled(stage: Stage, *more: str) -> tuple[int, list[Json]]:
    """Exit code and lines of `weir stripe reconcile`."""
    begin, end = THEN - timedelta(hours=20), THEN + timedelta(hours=2)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "deploy.commands", "stripe", "reconcile", "--json"),
        *("--from", f"{begin:%Y-%m-%dT%H:00:00Z}", "--to", f"{end:%Y-%m-%dT%H:00:00Z}", *more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=stage.weir.folder,
        env={"PATH": "", "PYTHONPATH": ":".join(sys.path), **stage.weir.environment}
        | stage.settings,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode in {0, 1}, errors.decode()
    return process.returncode, [orjson.loads(line) for line in output.splitlines()]


async def setup(stage: Stage) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "deploy.commands", "stripe", "setup"),
        stdout=asyncio.subprocess.DEVNULL,
        cwd=stage.weir.folder,
        env={"PATH": "", "PYTHONPATH": ":".join(sys.path), **stage.weir.environment}
        | stage.settings,
    )
    assert await asyncio.wait_for(process.wait(), 60) == 0


async def agrees(stage: Stage) -> bool:
    return (await reconciled(stage))[0] == 0


async def counted(stage: Stage, expected: dict[str, int]) -> bool:
    return await stage.totals() == expected


async def is_cancelled(stage: Stage, report_id: UUID) -> bool:
    return (await stage.states()).get(report_id) == "cancelled"


async def test_what_is_missing_double_or_wrong_is_found_and_mended(
    services: Services, tmp_path: Path
) -> None:
    async with staged(services, tmp_path) as stage:
        weir = stage.weir
        weir.start_sink()
        await setup(stage)
        right, missing, double, wrong = (f"cus_{name}" for name in ("r", "m", "d", "w"))
        ids = {customer: uuid4() for customer in (right, missing, double, wrong)}

        def a_use(customer: str, value: int, revision: int) -> tuple[bytes, bytes]:
            use = UsageCounted(
                report_id=report_id_for(ids[customer], METER, revision),
                event_id=ids[customer],
                meter=METER,
                value=value,
                occurred_at=THEN,
                customer_id=customer,
            )
            return customer.encode(), use.model_dump_json(exclude_none=True).encode()

        # Reported with another value than its event has, and before it.
        await weir.produce("usage-commands", [a_use(wrong, 9, 0)])
        await weir.eventually(partial(counted, stage, {wrong: 9}))
        await stage.convert(
            *(
                a_conversion(customer=customer, value=5, event_id=ids[customer], at=THEN)
                for customer in (right, double, wrong)
            )
        )
        # Reported twice.
        await weir.produce("usage-commands", [a_use(double, 5, 1)])
        await weir.eventually(partial(counted, stage, {right: 5, double: 10, wrong: 9}))
        await weir.eventually(partial(all_taken, weir))
        # In ClickHouse and never reported: as if the worker had lost it.
        weir.query(
            "INSERT INTO events (event_id, event_type, path, occurred_at, received_at, metadata, "
            "topic, partition, incarnation, offset) SELECT {id:UUID}, 'conversion', '/', "
            "{at:DateTime64(3)}, {at:DateTime64(3)}, {metadata:String}, 'conversions', 0, 1, "
            "1000000",
            id=str(ids[missing]),
            at=THEN.replace(tzinfo=None),
            metadata=orjson.dumps({"stripe_customer_id": missing, "value": 5}).decode(),
        )
        code, lines = await reconciled(stage)
        assert code == 1
        text = orjson.dumps(lines).decode()
        assert all(customer in text for customer in (missing, double, wrong))
        assert all(kind in text for kind in ("missing", "double", "wrong"))
        code, _ = await reconciled(stage, "--fix")
        assert code == 1
        # What is wrong is taken back first; reported again at once, it would be billed twice if
        # Stripe refused that.
        expected = {right: 5, missing: 5, double: 5, wrong: 0}
        await weir.eventually(partial(counted, stage, expected))
        await weir.eventually(partial(is_cancelled, stage, report_id_for(ids[wrong], METER)))
        code, _ = await reconciled(stage, "--fix")
        assert code == 1
        await weir.eventually(partial(counted, stage, expected | {wrong: 5}))
        await weir.eventually(partial(all_taken, weir))
        await weir.eventually(partial(agrees, stage))
        assert (await stage.state())["wrong"] == []
