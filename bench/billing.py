"""Reports to Stripe: how many a second, before a fake that takes 50 ms for each."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import aiohttp
import orjson

from bench.draining import rate, written
from deploy.local.managed_process import ManagedProcess
from deploy.local.ports import free_port
from schemas.topics import CONVERSIONS, USAGE_REPORTS
from tests.streams.billing.stage import a_conversion, customers
from tests.stripe_fake import KEY
from tests.weir import Weir

CUSTOMERS: Final = 500
REPORTS: Final = 6_000
DELAY: Final = 0.05
ASKED: Final = 300


async def reports(weir: Weir, folder: Path, say: Callable[[str], None]) -> None:
    """(k) conversions from a backlog, each one a report."""
    port = free_port()
    fake = f"http://127.0.0.1:{port}"
    weir.process(["-m", "tests.stripe_fake", str(port), str(DELAY)])
    await weir.eventually(partial(_answers, weir, fake))
    people = customers(CUSTOMERS)
    await weir.produce(
        CONVERSIONS.name,
        [a_conversion(customer=people[number % CUSTOMERS]) for number in range(REPORTS)],
    )

    def start() -> ManagedProcess:
        return weir.start_billing(
            {
                "STRIPE_API_KEY": KEY,
                "STRIPE_API_BASE": fake,
                "WEIR_BILLING_DIR": str(folder / "billing"),
            }
        )

    made = await written(weir, USAGE_REPORTS, REPORTS, start)
    if any(orjson.loads(each.value or b"")["state"] != "sent" for each in made):
        raise RuntimeError("not all was reported")
    async with weir.session.get(f"{fake}/_fake/state") as answer:
        state = await answer.json()
    if state["counted"] != REPORTS or state["overlaps"] or state["wrong"]:
        raise RuntimeError(f"the fake counted {state}")
    say(
        f"(k) reports to Stripe, {CUSTOMERS} customers, {1000 * DELAY:.0f} ms for each call: "
        f"{rate(made):,.0f}/s (asked: at least {ASKED})"
    )


async def _answers(weir: Weir, fake: str) -> bool:
    try:
        async with weir.session.get(f"{fake}/_fake/state") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False
