"""Puts events, reports and customers into a Weir's ClickHouse, as its sink would."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from clickhouse_connect import get_client

from schemas.billing import STAGES, ReportState, identifier_of, report_id_for
from tests.stripe_fake import FakeStripe
from tests.weir import Weir

METER = "conversions"

# Rows of ClickHouse have values of any type.
Row = dict[str, Any]


def hours_ago(hours: int, minutes: int = 0) -> datetime:
    """So many minutes into the hour that began so many hours before the running one."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return now - timedelta(hours=hours) + timedelta(minutes=minutes)


class Stored:
    """Rows are collected, and inserted by `store`. What is sent can be told to a fake Stripe."""

    def __init__(self, weir: Weir, fake: FakeStripe | None = None) -> None:
        self._weir = weir
        self._fake = fake
        self._rows: dict[str, list[Row]] = {}
        self._offsets = count()

    def event(
        self,
        metadata: str = "{}",
        *,
        user: str = "",
        at: datetime | None = None,
        event_type: str = "conversion",
        event_id: UUID | None = None,
        received: datetime | None = None,
    ) -> UUID:
        event_id = event_id or uuid4()
        self._add(
            "events",
            event_id=event_id,
            event_type=event_type,
            path="/",
            user_id=user,
            occurred_at=at or hours_ago(3, 1),
            received_at=received or at or hours_ago(3, 1),
            metadata=metadata,
            topic="conversions",
            partition=0,
            incarnation=1,
            offset=next(self._offsets),
        )
        return event_id

    def report(
        self,
        event_id: UUID | None,
        units: int,
        customer: str = "",
        state: ReportState = "sent",
        *,
        user: str = "",
        revision: int = 0,
        report_id: UUID | None = None,
        within: UUID | None = None,
        at: datetime | None = None,
        changed: datetime | None = None,
        tell: bool = True,
    ) -> UUID:
        """A change of a report; when it is sent, Stripe is told unless `tell` says no."""
        if report_id is None:
            assert event_id is not None
            report_id = report_id_for(event_id, METER, revision)
        occurred = at or hours_ago(3, 1)
        self._add(
            "usage_reports",
            change_id=uuid4(),
            number=STAGES[state],
            report_id=report_id,
            event_id=event_id,
            within=within,
            meter=METER,
            value=units,
            occurred_at=occurred,
            user_id=user,
            customer_id=customer,
            state=state,
            reason="",
            at=changed or hours_ago(1),
            received_at=datetime.now(UTC),
            report_topic="usage-reports",
            report_partition=0,
            report_incarnation=1,
            report_offset=next(self._offsets),
        )
        if state == "sent" and tell and self._fake is not None:
            self.tell(customer, report_id, units, occurred)
        return report_id

    def tell(self, customer: str, report_id: UUID, units: int, at: datetime) -> None:
        """Stripe counts a report."""
        from tests.stripe_fake.metering import MeterEvent

        assert self._fake is not None
        timestamp = int(at.timestamp())
        identifier = identifier_of(customer, report_id)
        self._fake.metering.add(
            MeterEvent(customer, METER, timestamp, units, identifier, float(timestamp))
        )

    def customer(
        self, user: str, customer: str, *, received: datetime | None = None, status: str = ""
    ) -> None:
        self._add(
            "stripe_customers",
            change_id=uuid4(),
            user_id=user,
            customer_id=customer,
            plan="pro",
            subscription_id="",
            status=status,
            at=datetime.now(UTC),
            received_at=received or datetime.now(UTC),
            change_topic="stripe-customers",
            change_partition=0,
            change_incarnation=1,
            change_offset=next(self._offsets),
        )

    async def store(self) -> None:
        rows, self._rows = self._rows, {}
        await asyncio.to_thread(self._insert, rows)

    def _add(self, table: str, **row: object) -> None:
        self._rows.setdefault(table, []).append(row)

    def _insert(self, rows: dict[str, list[Row]]) -> None:
        settings = self._weir.clickhouse
        with get_client(**settings.clickhouse_arguments(), database=settings.database) as client:
            for table, of_table in rows.items():
                names: Sequence[str] = list(of_table[0])
                client.insert(
                    table, [[row[name] for name in names] for row in of_table], column_names=names
                )
