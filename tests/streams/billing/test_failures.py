"""Each way in which Stripe fails ends in its state, after its number of calls, counted once."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from uuid import UUID, uuid4

import aiohttp
import pytest
import pytest_asyncio

from deploy.local.ports import free_port
from schemas.billing import CancelReport, identifier_of, report_id_for
from schemas.dead_letters import DeadLetter
from tests.services import Services
from tests.streams.billing.stage import Stage, a_conversion, staged
from tests.stripe_fake import KEY, meter_errors
from tests.weir import Json

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]

METER_EVENTS = "POST /v1/billing/meter_events"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stage(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    async with staged(services, tmp_path_factory.mktemp("billing"), workers=0) as stage:
        port = free_port()
        stage.settings["WEIR_BILLING_PORT"] = str(port)
        await stage.weir.keep(stage.start)
        yield stage


def a_customer() -> str:
    return f"cus_{uuid4().hex[:14]}"


async def stands(stage: Stage, report_id: UUID, state: str) -> bool:
    return (await stage.states()).get(report_id) == state


async def reported(stage: Stage, customer: str, state: str, within: float = 60) -> UUID:
    """Converts once, for 3 units, and waits until the report stands so."""
    event_id = uuid4()
    await stage.convert(a_conversion(customer=customer, value=3, event_id=event_id))
    report_id = report_id_for(event_id, "conversions")
    await stage.weir.eventually(partial(stands, stage, report_id, state), within=within)
    return report_id


async def calls(stage: Stage) -> int:
    return int((await stage.state())["calls_by_url"].get(METER_EVENTS, 0))


@pytest.mark.parametrize(
    "fault",
    [
        "429",
        "429-after-0",
        "lock",
        "409",
        "500",
        "503",
        "502-html",
        "500-kept",
        "500-counted",
        "lost",
        "cut",
        "cut-body",
    ],
)
async def test_what_may_work_the_next_time_is_tried_again_and_counted_once(
    stage: Stage, fault: str
) -> None:
    customer = a_customer()
    before = await calls(stage)
    await stage.tell("script", {"faults": [fault]})
    await reported(stage, customer, "sent")
    assert (await stage.totals())[customer] == 3
    assert await calls(stage) - before == 2


async def test_retry_after_is_waited_for(stage: Stage) -> None:
    await stage.tell("script", {"faults": ["429-after-1"]})
    began = monotonic()
    await reported(stage, a_customer(), "sent")
    assert monotonic() - began >= 1


async def test_what_stripe_refuses_is_a_dead_letter_with_its_reason_and_never_sent_again(
    stage: Stage,
) -> None:
    customer, event_id = a_customer(), uuid4()
    copy = a_conversion(customer=customer, value=3, event_id=event_id)
    report_id = report_id_for(event_id, "conversions")
    before = await calls(stage)
    await stage.tell("script", {"faults": ["400"]})
    await stage.convert(copy)
    await stage.weir.eventually(partial(stands, stage, report_id, "rejected"))

    async def told() -> bool:
        letters = await stage.stream.read("dead-letters", DeadLetter)
        return [each.reason for each in letters if each.key == customer] == ["refused_by_stripe"]

    await stage.weir.eventually(told)
    await stage.convert(copy)
    await reported(stage, customer, "sent")
    assert await calls(stage) - before == 2
    assert (await stage.totals())[customer] == 3


async def readyz(stage: Stage) -> tuple[int, Json]:
    port = stage.settings["WEIR_BILLING_PORT"]
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
            document = await answer.json(content_type=None)
        async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            return answer.status, {"ready": document, "metrics": await answer.text()}


async def test_a_wrong_key_stops_reporting_is_seen_and_loses_nothing(stage: Stage) -> None:
    customer, event_id = a_customer(), uuid4()
    report_id = report_id_for(event_id, "conversions")
    await stage.tell("key", {"valid": False})
    await stage.convert(a_conversion(customer=customer, value=3, event_id=event_id))

    async def red() -> bool:
        _, seen = await readyz(stage)
        return "stripe" in seen["ready"].get("not_ready", {})

    await stage.weir.eventually(red)
    _, seen = await readyz(stage)
    assert "STRIPE_API_KEY" in seen["ready"]["not_ready"]["stripe"]
    assert "weir_billing_stripe_problem 1.0" in seen["metrics"].splitlines()
    await stage.tell("key", {"valid": True})
    await stage.weir.eventually(partial(stands, stage, report_id, "sent"))
    _, seen = await readyz(stage)
    assert seen["ready"] == {"status": "ok"}
    assert "weir_billing_stripe_problem 0.0" in seen["metrics"].splitlines()
    assert (await stage.totals())[customer] == 3
    said = "".join(each.log.read_text() for each in stage.weir.processes)
    assert KEY not in said


async def test_a_report_that_stripe_rejects_later_is_marked(stage: Stage) -> None:
    customer = a_customer()
    report_id = await reported(stage, customer, "sent")
    event_id = f"evt_{uuid4().hex}"
    identifier = identifier_of(customer, report_id)
    await stage.tell(
        "thin-events",
        {
            "id": event_id,
            "type": "v1.billing.meter.error_report_triggered",
            "data": meter_errors(
                {"meter_event_customer_not_found": [(identifier, "no customer")]},
                until=int(datetime.now(UTC).timestamp()),
            ),
        },
    )
    thin = {
        "event_id": event_id,
        "type": "v1.billing.meter.error_report_triggered",
        "created": "2026-11-24T09:30:00Z",
        "thin": True,
    }
    await stage.happened(event_id, thin)
    await stage.weir.eventually(partial(stands, stage, report_id, "rejected"))
    [row] = [
        each
        for each in await stage.reports()
        if each.report_id == report_id and each.state == "rejected"
    ]
    assert row.reason == "no customer"


async def test_a_report_is_taken_back_once(stage: Stage) -> None:
    customer = a_customer()
    report_id = await reported(stage, customer, "sent")
    cancel = CancelReport(customer_id=customer, report_id=report_id, reason="counted twice")
    message = (customer.encode(), cancel.model_dump_json().encode())
    await stage.weir.produce("usage-commands", [message, message])
    await stage.weir.eventually(partial(stands, stage, report_id, "cancelled"))
    await reported(stage, customer, "sent")
    assert (await stage.totals())[customer] == 3
