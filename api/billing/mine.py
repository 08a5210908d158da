"""`GET /api/user/billing`: what one has used in the running period, and what it costs so far."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.billing.customers import customer_of, running_period
from api.billing.metered import NONE, amount_of, metered, total_of, written
from api.billing.paths import BILLING
from api.identity.access import Asking, access
from api.identity.principal import Role
from api.problems import documented
from api.quotas.documents import answer
from api.state import Billing, FromClickHouse, Now, Plans
from schemas.decoding import canonical_time

router = APIRouter(tags=["billing"], dependencies=[access(Role.USER)])

_PLACES = 2

Amount = Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]{2,}$", examples=["0.24"])]


class MeterDocument(BaseModel):
    """What was used of a meter in the period."""

    meter: Annotated[str, Field(examples=["conversions"])]
    title: Annotated[str, Field(examples=["Conversions"])]
    units: Annotated[int, Field(ge=0, examples=[12], description="That Stripe has counted.")]
    unit_amount: Annotated[
        str,
        Field(
            pattern=r"^[0-9]+(\.[0-9]+)?$",
            examples=["2"],
            description="What one costs, in hundredths of the currency; exact.",
        ),
    ]
    amount: Annotated[
        Amount, Field(description="What `units` cost, in whole units of the currency; exact.")
    ]
    pending_units: Annotated[
        int, Field(ge=0, examples=[0], description="That wait for Stripe, and cost nothing yet.")
    ]


class BillingDocument(BaseModel):
    """What a user has used and pays for."""

    customer_id: Annotated[
        str | None, Field(examples=["cus_Q5XG"], description="At Stripe; null: none yet.")
    ]
    plan: Annotated[str, Field(examples=["pro"], description="Of the subscription.")]
    subscription_status: Annotated[
        str | None,
        Field(examples=["active"], description="As Stripe names it; null: no subscription."),
    ]
    period_start: Annotated[str, Field(examples=["2026-11-12T08:00:00.000Z"])]
    period_end: Annotated[
        str,
        Field(
            examples=["2026-12-12T08:00:00.000Z"],
            description="The subscription's period, exclusive; the calendar month in UTC without "
            "one.",
        ),
    ]
    currency: Annotated[str, Field(examples=["usd"], description="ISO 4217, in lower case.")]
    meters: Annotated[list[MeterDocument], Field(description="All there are, used or not.")]
    amount: Annotated[Amount, Field(description="Of all meters; the plan's price is not in it.")]


@router.get(
    BILLING,
    summary="Show what one has used in the running period and what it costs",
    response_model=BillingDocument,
    responses=documented(HTTPStatus.SERVICE_UNAVAILABLE),
)
async def show_billing(
    asking: Asking, clickhouse: FromClickHouse, desk: Billing, plans: Plans, now: Now
) -> Response:
    """Use by meter, as the billing worker has reported it; it shows some seconds later.

    What Stripe bills is on its invoice: discounts, taxes and free units are not in the amounts.
    """
    customer = await customer_of(clickhouse, asking.subject)
    period = running_period(customer, now)
    used = await metered(clickhouse, asking.subject, customer, period)
    lines = [
        (meter, units := used.get(name, NONE), amount_of(units.counted, meter.unit_amount))
        for name, meter in desk.meters.meters.items()
    ]
    return answer(
        BillingDocument(
            customer_id=None if customer is None else customer.customer_id,
            plan=plans.default if customer is None else customer.plan,
            subscription_status=None if customer is None else customer.status,
            period_start=canonical_time(period.start),
            period_end=canonical_time(period.end),
            currency=desk.meters.currency,
            meters=[
                MeterDocument(
                    meter=meter.name,
                    title=meter.title,
                    units=units.counted,
                    unit_amount=written(meter.unit_amount),
                    amount=written(amount, _PLACES),
                    pending_units=units.pending,
                )
                for meter, units, amount in lines
            ],
            amount=written(total_of(amount for _, _, amount in lines), _PLACES),
        )
    )
