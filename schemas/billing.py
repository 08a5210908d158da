"""Billing as it lies on Kafka: what was used, what of it Stripe was told, and who pays for it."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Final, Literal
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field, RootModel

from schemas.quotas import AccountUser, Id, Moment, PlanName

MAX_VALUE: Final = 1_000_000
"""Of one event: more is taken for a mistake."""

MAX_SUM: Final = 1 << 52

REPORTABLE: Final = timedelta(days=35)
"""How old what is reported may be (Stripe's documentation of meter events)."""

IDENTIFIERS_KEPT: Final = timedelta(hours=23)
"""So long a report may be tried again: Stripe knows an identifier for 24 h at least."""

CANCELLABLE: Final = timedelta(hours=24)
"""How long after it got an event Stripe lets it be cancelled."""

PAYING: Final = frozenset({"trialing", "active", "past_due"})
"""Statuses of a subscription that keep its plan. Of what is past due Stripe still tries to
collect, and says `unpaid` or `canceled` at the end."""

_NAMESPACE: Final = UUID("5d0c9a64-0e0b-5a52-8b9d-4f3b4f5a7c11")

CUSTOMER_PATTERN: Final = r"^cus_[A-Za-z0-9_]{1,60}$"
CustomerId = Annotated[str, Field(pattern=CUSTOMER_PATTERN, description="Stripe's, `cus_…`.")]
MeterName = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9_]{0,63}$",
        description="A meter of meters.toml, which is also its `event_name` at Stripe.",
    ),
]
Units = Annotated[int, Field(ge=1, le=MAX_VALUE)]
ReportState = Literal[
    "pending",
    "collected",
    "sent",
    "rejected",
    "cancelled",
    "expired",
    "uncertain",
]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class UsageCounted(_Message):
    """Units of a meter that an event used. The same `report_id` again is the same use.

    Its customer is named, or is looked up by its user, who then is the message key.
    """

    kind: Literal["usage"] = "usage"
    report_id: Id
    event_id: Id
    meter: MeterName
    value: Units
    occurred_at: Moment
    user_id: AccountUser | None = None
    customer_id: CustomerId | None = None


class CustomerLinked(_Message):
    """Whom a user's use is billed to from now on, and what waited for it.

    None: the customer is gone, and use waits for another.
    """

    kind: Literal["linked"] = "linked"
    user_id: AccountUser
    customer_id: CustomerId | None


class ReportRejected(_Message):
    """Stripe has told later that it did not count a report."""

    kind: Literal["rejected"] = "rejected"
    customer_id: CustomerId
    report_id: Id
    reason: Annotated[str, Field(min_length=1, max_length=500)]


class CancelReport(_Message):
    """Takes a report back at Stripe, where that is still allowed."""

    kind: Literal["cancel"] = "cancel"
    customer_id: CustomerId
    report_id: Id
    reason: Annotated[str, Field(min_length=1, max_length=500)]


class ForgetUse(_Message):
    """Erases a user from what is kept of use and of reports (`weir forget`).

    Without a customer: that the user has one, and use that waits for one. With one: the user's
    name in the customer's reports; all of them when the customer is `whole`ly the user's. What was
    reported stays known by its id alone, so that nothing is billed twice.
    """

    kind: Literal["forget"] = "forget"
    user_id: AccountUser
    customer_id: CustomerId | None = None
    whole: bool = False


UsageCommand = Annotated[
    UsageCounted | CustomerLinked | ReportRejected | CancelReport | ForgetUse,
    Field(discriminator="kind"),
]


class AnyUsageCommand(RootModel[UsageCommand]):
    """A message on `usage-commands`; `kind` tells which. Key: `customer_id`, else `user_id`."""


STAGES: Final[Mapping[ReportState, int]] = {
    "pending": 0,
    "collected": 1,
    "uncertain": 2,
    "expired": 3,
    "sent": 4,
    "rejected": 5,
    "cancelled": 6,
}
"""The order in which a report may go through its states: the `number` of a change."""


class UsageReport(_Message):
    """What became of a report; the last one of a `report_id` says how it stands.

    `pending`: no customer is known yet. `collected`: it is part of the report `within`. `sent`:
    Stripe has counted it. `rejected`: Stripe refused it. `cancelled`: taken back. `expired`: too
    old for Stripe. `uncertain`: Stripe did not answer for so long that it may count a repeat twice.
    """

    change_id: Annotated[Id, Field(description="The same change has the same id.")]
    number: Annotated[int, Field(ge=0, lt=1 << 53, description="See STAGES: the highest counts.")]
    report_id: Id
    event_id: Annotated[Id | None, Field(description="Null: it sums up those within it.")] = None
    within: Id | None = None
    meter: MeterName
    value: Annotated[int, Field(ge=1, le=MAX_SUM)]
    occurred_at: Moment
    user_id: AccountUser | None = None
    customer_id: CustomerId | None = None
    state: ReportState
    reason: Annotated[str, Field(max_length=500)] = ""
    at: Moment


class StripeEvent(_Message):
    """That something happened at Stripe, without what: it is asked for when it is acted on.

    `customer_id` is the key; `event_id` where no customer is named.
    """

    event_id: Annotated[str, Field(pattern=r"^evt_[A-Za-z0-9_]{1,100}$")]
    type: Annotated[str, Field(min_length=1, max_length=100)]
    created: Moment
    thin: Annotated[bool, Field(description="Its content is fetched by its id.")] = False
    customer_id: CustomerId | None = None
    user_id: Annotated[
        AccountUser | None, Field(description="Whom its object names as Weir's user.")
    ] = None


class StripeCustomer(_Message):
    """A user as Stripe's customer, and the subscription that decides the plan."""

    change_id: Id
    user_id: AccountUser
    customer_id: CustomerId
    plan: PlanName
    subscription_id: str = ""
    status: Annotated[str, Field(description="The subscription's at Stripe; '': none.")] = ""
    period_start: Moment | None = None
    period_end: Moment | None = None
    at: Moment


def report_id_for(event_id: UUID, meter: str, revision: int = 0) -> UUID:
    """The id of the report of an event's use; a corrected one has a higher revision."""
    return uuid5(_NAMESPACE, f"event:{event_id}:{meter}:{revision}")


def window_report_id_for(customer_id: str, meter: str, start: int, revision: int) -> UUID:
    """The id of the report of a window that began at `start`, epoch seconds."""
    return uuid5(_NAMESPACE, f"window:{customer_id}:{meter}:{start}:{revision}")


def change_id_for(report_id: UUID, number: int, state: str) -> UUID:
    """The id of a change of a report."""
    return uuid5(report_id, f"{number}:{state}")


def identifier_of(customer_id: str, report_id: UUID) -> str:
    """What Stripe knows a report by (at most 100 characters), and Idempotency-Key of its call."""
    return f"{customer_id}.{report_id.hex}"


def report_of(identifier: str) -> tuple[str, UUID] | None:
    """Customer and report of an identifier, or of a later call's key; None: it is not ours."""
    customer_id, _, rest = identifier.partition(".")
    try:
        return customer_id, UUID(hex=rest.partition(".")[0])
    except ValueError:
        return None
