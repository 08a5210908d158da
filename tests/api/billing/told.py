"""What the billing worker says of customers and reports, told to a Weir without one."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from api.billing.customers import Stretch
from schemas.billing import STAGES, ReportState, StripeCustomer, UsageReport, change_id_for
from schemas.topics import STRIPE_CUSTOMERS, USAGE_REPORTS
from tests.api.quotas.people import Person
from tests.weir import Weir

NOW: Final = datetime.now(UTC)
DAY: Final = timedelta(days=1)
PERIOD: Final = Stretch(NOW - 10 * DAY, NOW + 20 * DAY)


def new_customer() -> str:
    return f"cus_{uuid4().hex}"


def linked(
    person: Person, customer_id: str, period: Stretch | None = PERIOD, status: str = "active"
) -> StripeCustomer:
    return StripeCustomer(
        change_id=uuid4(),
        user_id=person.user_id,
        customer_id=customer_id,
        plan="pro",
        subscription_id="sub_1" if status else "",
        status=status,
        period_start=None if period is None else period.start,
        period_end=None if period is None else period.end,
        at=NOW,
    )


def change(
    state: ReportState,
    value: int = 1,
    *,
    report_id: UUID | None = None,
    customer_id: str | None = None,
    user_id: str | None = None,
    within: UUID | None = None,
    window: bool = False,
    meter: str = "conversions",
    at: datetime = NOW,
) -> UsageReport:
    """A row of a report, a new one unless it is named; `window`: of one that sums up others."""
    report_id = report_id or uuid4()
    return UsageReport(
        change_id=change_id_for(report_id, STAGES[state], state),
        number=STAGES[state],
        report_id=report_id,
        event_id=None if window else uuid4(),
        within=within,
        meter=meter,
        value=value,
        occurred_at=at,
        user_id=user_id,
        customer_id=customer_id,
        state=state,
        at=NOW,
    )


async def tell(
    weir: Weir, customers: Sequence[StripeCustomer] = (), reports: Sequence[UsageReport] = ()
) -> None:
    """Publishes them as the billing worker does, and returns when the sink has stored them."""
    await weir.produce(
        STRIPE_CUSTOMERS.name,
        [(each.user_id.encode(), each.model_dump_json().encode()) for each in customers],
    )
    await weir.produce(
        USAGE_REPORTS.name,
        [
            ((each.customer_id or each.user_id or "").encode(), each.model_dump_json().encode())
            for each in reports
        ],
    )
    for table, ids in (
        ("stripe_customers", {each.change_id for each in customers}),
        ("usage_reports", {each.change_id for each in reports}),
    ):

        async def stored(table: str = table, ids: set[UUID] = ids) -> bool:
            [(count,)] = weir.query(
                f"SELECT uniqExact(change_id) FROM {table} WHERE change_id IN {{ids:Array(UUID)}}",  # noqa: S608
                ids=[str(each) for each in ids],
            )
            return int(count) == len(ids)

        await weir.eventually(stored)
