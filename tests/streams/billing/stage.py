"""A Weir with a billing worker before a fake of Stripe, and what tests do on it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
import orjson

from deploy.local.managed_process import ManagedProcess
from deploy.local.ports import free_port
from schemas.billing import UsageReport
from schemas.partitioning import partition_for
from schemas.topics import USER_PARTITIONS
from tests.services import Services
from tests.streams.social.stream import Stream
from tests.stripe_fake import KEY
from tests.weir import Json, Weir, throwaway_weir


def a_conversion(
    *,
    customer: str | None = None,
    user: str | None = None,
    value: object = None,
    event_id: UUID | None = None,
    at: datetime | None = None,
) -> tuple[bytes, bytes]:
    """Key and value as they lie on `conversions`."""
    metadata: dict[str, object] = {}
    if customer is not None:
        metadata["stripe_customer_id"] = customer
    if value is not None:
        metadata["value"] = value
    identity = str(event_id or uuid4())
    event = {
        "event_id": identity,
        "event_type": "conversion",
        "path": "/checkout",
        "metadata": metadata,
        "occurred_at": (at or datetime.now(UTC)).isoformat(timespec="milliseconds")[:-6] + "Z",
        **({} if user is None else {"user_id": user}),
    }
    return (user or identity).encode(), orjson.dumps(event)


class Stage:
    """`fake` is the address of Stripe's fake."""

    def __init__(self, weir: Weir, fake: str) -> None:
        self.weir = weir
        self.fake = fake
        self.stream = Stream(weir)
        self.settings = {
            "STRIPE_API_KEY": KEY,
            "STRIPE_API_BASE": fake,
            "WEIR_STRIPE_TIMEOUT": "2",
            "WEIR_BILLING_SESSION_TIMEOUT": "6",
        }

    def start(
        self, environment: Mapping[str, str] | None = None, folder: str = "billing"
    ) -> ManagedProcess:
        own = {"WEIR_BILLING_DIR": str(self.weir.folder / folder)}
        return self.weir.start_billing({**self.settings, **own, **(environment or {})})

    async def convert(self, *conversions: tuple[bytes, bytes]) -> None:
        await self.weir.produce("conversions", conversions)

    async def happened(self, key: str, event: Json) -> None:
        """Writes an event of Stripe's, as the edge does when a webhook tells of it."""
        await self.weir.produce("stripe-events", [(key.encode(), orjson.dumps(event))])

    async def state(self) -> Json:
        async with self.weir.session.get(f"{self.fake}/_fake/state") as answer:
            return await answer.json()

    async def answers(self) -> bool:
        try:
            return bool(await self.state())
        except aiohttp.ClientError:
            return False

    async def tell(self, what: str, document: Json) -> None:
        """Tells the fake how to be."""
        async with self.weir.session.post(f"{self.fake}/_fake/{what}", json=document) as answer:
            assert answer.status == 200, await answer.text()

    async def totals(self) -> dict[str, int]:
        """Customer → units of the meter `conversions`, as the fake has counted them."""
        totals = (await self.state())["totals"]
        return {customer: meters.get("conversions", 0) for customer, meters in totals.items()}

    async def has_counted(self, expected: Mapping[str, int]) -> bool:
        return await self.totals() == expected

    async def reports(self) -> list[UsageReport]:
        return await self.stream.read("usage-reports", UsageReport)

    async def states(self) -> dict[UUID, str]:
        """How each report stands."""
        latest: dict[UUID, UsageReport] = {}
        for each in await self.reports():
            before = latest.get(each.report_id)
            if before is None or each.number >= before.number:
                latest[each.report_id] = each
        return {report_id: each.state for report_id, each in latest.items()}


@asynccontextmanager
async def staged(
    services: Services, folder: Path, *, delay: float = 0.0, workers: int = 1
) -> AsyncIterator[Stage]:
    async with throwaway_weir(services, folder) as weir:
        port = free_port()
        weir.process(["-m", "tests.stripe_fake", str(port), str(delay)])
        stage = Stage(weir, f"http://127.0.0.1:{port}")
        await weir.eventually(stage.answers)
        for number in range(workers):
            await weir.keep(lambda name=f"billing-{number}": stage.start(folder=name))  # type: ignore[misc] # bound now
        yield stage


def partition_of(key: str) -> int:
    return partition_for(key.encode(), USER_PARTITIONS)


def customers(count: int) -> Sequence[str]:
    return [f"cus_{number:04}" for number in range(count)]
