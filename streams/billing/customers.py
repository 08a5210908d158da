"""What happened at Stripe decides plans: each event only says whose state to look at.

Stripe's events come in any order, some twice, some late. What Stripe says now is the truth, so
whichever comes last leaves the plan that its final state says.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar
from uuid import UUID, uuid5

import structlog
from aiokafka.structs import TopicPartition

from schemas.billing import CustomerLinked, ReportRejected, StripeCustomer, StripeEvent, report_of
from schemas.plans import Catalogue
from schemas.quotas import PlanChanged
from streams.billing.account import Person, StripeAccount, user_of
from streams.billing.calling import Calling, Clock, GivenUp
from streams.billing.locks import Locks
from streams.billing.outputs import Outputs
from streams.billing.subscriptions import Subscribed, metadata_of, subscribed
from streams.dead_letters import refused
from streams.failures import Invalid
from streams.message_models import read_model
from streams.messages import Message
from streams.records import Record
from streams.writer import Writer

log = structlog.get_logger()

PATIENCE: Final = timedelta(days=2)
"""So long Stripe may be away; then an event is a dead letter, and to be sent again at Stripe."""

CUSTOMERS: Final = "customers"
REJECTED_REPORTS: Final = frozenset(
    {"v1.billing.meter.error_report_triggered", "v1.billing.meter.no_meter_found"}
)
REASON: Final = "subscription"

_Answer = TypeVar("_Answer")

_NAMESPACE: Final = UUID("8c0c0f5e-4f55-5d55-a0a2-7a0d6f1f2b10")


class Customers:
    """Acts on events of Stripe's; those of a customer one after the other."""

    def __init__(
        self,
        account: StripeAccount,
        calling: Calling,
        writer: Writer,
        outputs: Outputs,
        catalogue: Catalogue,
        clock: Clock,
    ) -> None:
        self._account = account
        self._calling = calling
        self._writer = writer
        self._outputs = outputs
        self._catalogue = catalogue
        self._clock = clock
        self._locks = Locks()

    async def apply_stripe_event(self, place: TopicPartition, record: Record) -> None:
        """Brings Weir to what Stripe says now; all of it is on Kafka when it returns."""
        try:
            event = _read(record)
            async with self._locks.of(event.customer_id or event.event_id):
                try:
                    following = await self._following(event)
                except GivenUp as error:
                    raise Invalid("stripe_away", f"Stripe did not answer: {error}") from None
                await self._writer.write(following)
        except Invalid as failure:
            letter = refused(place, record, failure)
            await self._writer.write([self._outputs.dead_letter(letter)])

    async def _following(self, event: StripeEvent) -> list[Message]:
        if event.type in REJECTED_REPORTS:
            told = await self._answer(lambda: self._account.rejections(event.event_id))
            return self._rejected(told)
        customer_id = event.customer_id
        if customer_id is None:
            log.info("nothing follows from an event of Stripe's", type=event.type)
            return []
        person = await self._answer(lambda: self._account.person(customer_id))
        user_id = _user(person, event)
        if user_id is None:
            log.warning(
                "a customer of Stripe's is no user yet: set metadata.user_id of the customer",
                customer_id=customer_id,
            )
            return []
        if person.user_id is None and not person.is_deleted:
            await self._answer(lambda: self._account.name_user(customer_id, user_id))
        try:
            return self._changes(event, person, user_id)
        except Exception as error:
            # A pure step that fails will fail again: it must not stop the customers beside it.
            log.exception("a customer's plan cannot be decided", customer_id=customer_id)
            raise Invalid("not_decidable", f"deciding ended in {type(error).__name__}") from error

    async def _answer(self, call: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """Raises GivenUp when Stripe is away, or the key has no right to this, beyond PATIENCE.

        A key that is refused is the operator's to mend, whom an alert tells. Meanwhile nothing can
        be asked, and nobody is held up: the event waits, as long as its topic keeps it.
        """
        while True:
            try:
                return await self._calling.until(
                    self._clock() + PATIENCE, CUSTOMERS, lambda _: call()
                )
            except GivenUp as error:
                if error.asked:
                    raise

    def _changes(self, event: StripeEvent, person: Person, user_id: str) -> list[Message]:
        state = subscribed(person.subscriptions, self._catalogue)
        now = self._clock()
        # The same event again is the same change as long as Stripe says the same.
        change_id = uuid5(_NAMESPACE, f"{event.event_id}:{user_id}:{_text(state)}")
        messages = [
            self._outputs.plan(
                PlanChanged(
                    command_id=change_id,
                    user_id=user_id,
                    issued_at=now,
                    reason=REASON,
                    plan=state.plan,
                    period=state.period,
                )
            ),
            self._outputs.customer(
                StripeCustomer(
                    change_id=change_id,
                    user_id=user_id,
                    customer_id=person.customer_id,
                    plan=state.plan,
                    subscription_id=state.subscription_id,
                    status="deleted" if person.is_deleted else state.status,
                    period_start=state.period.start if state.period else None,
                    period_end=state.period.end if state.period else None,
                    at=now,
                )
            ),
        ]
        customer_id = None if person.is_deleted else person.customer_id
        linked = CustomerLinked(user_id=user_id, customer_id=customer_id)
        return [*messages, self._outputs.linked(linked)]

    def _rejected(self, told: list[tuple[str, str]]) -> list[Message]:
        messages = []
        for identifier, reason in told:
            if (ours := report_of(identifier)) is None:
                log.warning("Stripe rejected a report that is not of Weir", reason=reason)
                continue
            customer_id, report_id = ours
            messages.append(
                self._outputs.rejected(
                    ReportRejected(customer_id=customer_id, report_id=report_id, reason=reason)
                )
            )
        return messages


def _read(record: Record) -> StripeEvent:
    event = read_model(StripeEvent, record)
    if record.key != (event.customer_id or event.event_id).encode():
        raise Invalid("wrong_key", "the message key must be the customer_id, else the event_id")
    return event


def _user(person: Person, event: StripeEvent) -> str | None:
    """The customer says it; else a subscription of it, or the object that the event is about."""
    if person.user_id is not None:
        return person.user_id
    named = [user_of(metadata_of(each)) for each in person.subscriptions]
    return next((each for each in named if each is not None), event.user_id)


def _text(state: Subscribed) -> str:
    period = state.period
    ends = period and f"{period.start.timestamp()}:{period.end.timestamp()}"
    return f"{state.plan}:{state.subscription_id}:{state.status}:{ends}"
