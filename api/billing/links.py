"""`POST /api/user/billing/portal` and `/checkout`: the way to Stripe's own pages."""

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from api.billing.customers import customer_of
from api.billing.desk import BillingDesk, NoPrice, UnknownCustomer
from api.billing.paths import BILLING
from api.identity.access import Asking, access, principal_of
from api.identity.principal import Role
from api.problems import Problem, documented, field_problem, unavailable
from api.quotas.bodies import Body, read_document, request_body
from api.quotas.documents import answer
from api.social.documents import base_url_of
from api.state import Billing, FromClickHouse, billing, clickhouse, plans
from schemas.billing import PAYING
from schemas.plans import Plan
from schemas.quotas import PlanName

if TYPE_CHECKING:
    from api.billing.stripe_sessions import StripeSessions

PORTAL: Final = f"{BILLING}/portal"
CHECKOUT: Final = f"{BILLING}/checkout"

NOT_SET_UP: Final = "stripe_not_set_up"

_UNCONFIGURED_SECONDS: Final = 60.0

router = APIRouter(tags=["billing"], dependencies=[access(Role.USER)])


class NewCheckout(Body):
    """The plan to subscribe to."""

    plan: Annotated[PlanName, Field(examples=["pro"])]


DOCUMENTED_MODELS: Final[tuple[type[BaseModel], ...]] = (NewCheckout,)


class StripePage(BaseModel):
    """A page of Stripe's for this user alone, good for a short time."""

    url: Annotated[str, Field(examples=["https://checkout.stripe.com/c/pay/cs_…"])]


@router.post(
    PORTAL,
    summary="Open Stripe's page where one manages what one pays",
    response_model=StripePage,
    responses=documented(
        HTTPStatus.CONFLICT, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE
    ),
)
async def open_portal(
    request: Request, asking: Asking, clickhouse: FromClickHouse, desk: Billing
) -> Response:
    """A link to invoices, means of payment, and changing or ending the subscription.

    409 for who has never subscribed.
    """
    sessions = _sessions(desk)
    customer = await customer_of(clickhouse, asking.subject)
    if customer is None:
        raise _no_customer()
    try:
        return_url = _return_url(request, desk)
        url = await sessions.portal(asking.subject, customer.customer_id, return_url)
    except UnknownCustomer:
        raise _no_customer() from None
    return answer(StripePage(url=url))


@router.post(
    CHECKOUT,
    summary="Open Stripe's page where one subscribes to a plan",
    response_model=StripePage,
    responses=documented(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
    openapi_extra=request_body(NewCheckout, {"plan": "pro"}),
)
async def open_checkout(request: Request) -> Response:
    """The plan changes once Stripe has told that it is paid, some seconds after the page is left.

    409 for who subscribes already: the portal's page changes the plan.
    """
    asking = await principal_of(request)
    asked = await read_document(request, NewCheckout)
    desk = billing(request)
    plan = _plan(request, asked.plan)
    sessions = _sessions(desk)
    customer = await customer_of(clickhouse(request), asking.subject)
    if customer is not None and customer.status in PAYING:
        raise Problem(
            HTTPStatus.CONFLICT,
            f"this user subscribes already, and would pay twice: change the plan with {PORTAL}",
        )
    customer_id = None if customer is None else customer.customer_id
    meters = tuple(desk.meters.meters.values())
    return_url = _return_url(request, desk)
    user_id = asking.subject
    try:
        try:
            url = await sessions.checkout(user_id, customer_id, plan, meters, return_url)
        except UnknownCustomer:
            # Deleted at Stripe, or given to another user: this one gets a new one.
            url = await sessions.checkout(user_id, None, plan, meters, return_url)
    except NoPrice:
        raise _not_sold(plan.name, "has no price at Stripe yet") from None
    return answer(StripePage(url=url))


def _sessions(desk: BillingDesk) -> "StripeSessions":
    if desk.sessions is None:
        raise unavailable(
            "nothing can be paid here yet: set STRIPE_API_KEY, and start the API again",
            retry_after=_UNCONFIGURED_SECONDS,
            code=NOT_SET_UP,
        )
    return desk.sessions


def _plan(request: Request, name: str) -> Plan:
    plan = plans(request).plan(name)
    if plan is None:
        raise _not_sold(name, "is not the name of a plan; GET /api/plans lists them")
    if plan.price == 0:
        raise _not_sold(name, "is not sold: it has no price")
    return plan


def _not_sold(name: str, why: str) -> Problem:
    return field_problem(HTTPStatus.UNPROCESSABLE_ENTITY, "plan", f"plan {name} {why}")


def _no_customer() -> Problem:
    return Problem(
        HTTPStatus.CONFLICT,
        f"this user has never subscribed, so there is nothing to manage: start with {CHECKOUT}",
    )


def _return_url(request: Request, desk: BillingDesk) -> str:
    # The page of plans (frontend/src/app/routes.tsx), which reads `checkout`.
    return f"{base_url_of(request, desk.public_url)}/plan"
