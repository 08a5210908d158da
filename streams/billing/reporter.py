"""Reports use to Stripe, each once, and keeps the ledger of it.

A report is written down as planned before it is sent for the first time: what is planned and has
no end is sent again under the same identifier, for as long as Stripe knows identifiers.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, assert_never
from uuid import UUID

import structlog
from aiokafka.structs import TopicPartition

from schemas.billing import (
    IDENTIFIERS_KEPT,
    REPORTABLE,
    STAGES,
    AnyUsageCommand,
    CancelReport,
    CustomerLinked,
    ForgetUse,
    ReportRejected,
    UsageCommand,
    UsageCounted,
    UsageReport,
    change_id_for,
)
from schemas.meters import Meters
from schemas.metrics.billing import REPORTS as REPORTS_CHANGED
from schemas.metrics.instruments import counter
from schemas.partitioning import partition_for
from streams.billing.account import StripeAccount
from streams.billing.calling import Calling, Clock, GivenUp
from streams.billing.forgetting import forget_customer, forget_user
from streams.billing.ledger import Ledger
from streams.billing.locks import Locks
from streams.billing.outputs import Outputs
from streams.billing.reports import (
    Report,
    customer_key,
    gone_key,
    micros,
    moment,
    planned,
    read_text,
    read_usage,
    report_key,
    stored,
    stored_text,
    stored_usage,
    waiting_key,
    waiting_prefix,
)
from streams.billing.windows import Windows
from streams.dead_letters import refused
from streams.failures import Invalid
from streams.group.places import Place, Put
from streams.group.reading import Incoming
from streams.message_models import read_model
from streams.messages import Message
from streams.records import Record

log = structlog.get_logger()

RELEASED_AT_ONCE: Final = 200
REPORTS: Final = "reports"


class Reporter:
    """One writer for each customer: the commands of a partition meet one worker."""

    def __init__(
        self,
        account: StripeAccount,
        calling: Calling,
        outputs: Outputs,
        meters: Meters,
        *,
        topic: str,
        topic_id: UUID,
        partitions: int,
        clock: Clock,
        ledger_of: Callable[[int], Ledger],
        failed: Callable[[BaseException], None],
    ) -> None:
        """`topic`, `topic_id` and `partitions` are those of the commands."""
        self._account = account
        self._calling = calling
        self._outputs = outputs
        self._meters = meters
        self._topic = topic
        self._topic_id = topic_id.bytes
        self._partitions = partitions
        self._clock = clock
        self._ledger_of = ledger_of
        self._locks = Locks()
        self.windows = Windows(
            self._send_window, self._finish, self._locks, clock, failed, calling.key_is_well
        )

    async def report_usage(self, place: TopicPartition, record: Record) -> None:
        """Does what a command says; all of it is on Kafka when it returns."""
        ledger = self._ledger_of(place.partition)
        try:
            command, key = self._read(record, place.partition)
            if isinstance(command, ForgetUse) and command.customer_id is not None:
                # What was used is owed; it is not forgotten before Stripe knows of it.
                await self.windows.settle(ledger, command.customer_id)
            async with self._locks.of(key):
                await self._act(ledger, command, Place(self._topic_id, record.offset))
        except Invalid as failure:
            letter = refused(place, record, failure)
            await ledger.lane.put((), [self._outputs.dead_letter(letter)])

    def _read(self, record: Record, partition: int) -> tuple[UsageCommand, str]:
        command = read_model(AnyUsageCommand, record).root
        user_id = None if isinstance(command, ReportRejected | CancelReport) else command.user_id
        customer_id = None if isinstance(command, CustomerLinked) else command.customer_id
        key = customer_id or user_id
        if key is None or record.key != key.encode():
            raise Invalid("wrong_key", "the message key must be the customer_id, else the user_id")
        if partition_for(key.encode(), self._partitions) != partition:
            raise Invalid("wrong_partition", "set the producer's partitioner to murmur2")
        return command, key

    async def _act(self, ledger: Ledger, command: UsageCommand, place: Place) -> None:
        match command:
            case UsageCounted(customer_id=str()):
                await self._counted(ledger, command, place)
            case UsageCounted():
                await self._counted_of_user(ledger, command, place)
            case CustomerLinked():
                await self._linked(ledger, command, place)
            case ReportRejected():
                await self._rejected(ledger, command, place)
            case CancelReport():
                await self._cancel(ledger, command, place)
            case ForgetUse(customer_id=str() as customer_id):
                await forget_customer(ledger, command, customer_id, place)
            case ForgetUse():
                await forget_user(ledger, command, place)
            case _:
                assert_never(command)

    async def _counted(self, ledger: Ledger, usage: UsageCounted, place: Place) -> None:
        known = ledger.report(usage.report_id)
        if known is not None and known.state == "forgotten":
            return
        if known is not None and known.state != "planned":
            # Where this was killed the row may be missing; a second one is known to be one.
            await ledger.lane.put((), [self._outputs.report(known.row())])
            return
        report = known or self._new(usage)
        now = self._clock()
        if known is None and now - usage.occurred_at > REPORTABLE:
            await self._finish(ledger, report.changed("expired", now, "older than 35 days"), place)
            raise Invalid("too_old", "Stripe takes nothing that is older than 35 days")
        meter = self._meters.meters.get(usage.meter)
        if known is None and meter is not None and meter.window:
            await self.windows.collect(ledger, report, meter, place, now)
            return
        if known is None:
            report = await self._plan(ledger, report, place)
        await self.send(ledger, report, place, is_new=known is None)

    async def _plan(self, ledger: Ledger, report: Report, place: Place) -> Report:
        # What is planned and not sent for a day is uncertain: not with a refused key.
        await self._calling.key_is_well()
        report = planned(report, self._clock())
        await ledger.lane.put([(report_key(report.report_id), stored(place, report))])
        return report

    async def send(
        self, ledger: Ledger, report: Report, place: Place, *, is_new: bool = False
    ) -> None:
        """Sends what is planned and writes down how it ended. Raises Invalid when it is refused.

        `is_new`: nobody can have sent it before.
        """

        async def call(attempt: int) -> None:
            await self._account.report(report, attempt)

        while True:
            end = moment(report.planned_at) + IDENTIFIERS_KEPT
            try:
                await self._calling.until(end, REPORTS, call)
            except GivenUp as error:
                if is_new and not error.told:
                    # Stripe has never heard of it.
                    report = await self._plan(ledger, report, place)
                    continue
                ended = report.changed("uncertain", self._clock(), str(error))
                await self._finish(ledger, ended, place)
                return
            except Invalid as refusal:
                ended = report.changed("rejected", self._clock(), refusal.detail)
                await self._finish(ledger, ended, place)
                raise
            await self._finish(ledger, report.changed("sent", self._clock()), place)
            return

    async def _send_window(
        self, ledger: Ledger, report: Report, place: Place, *, is_new: bool = False
    ) -> None:
        try:
            await self.send(ledger, report, place, is_new=is_new)
        except Invalid as failure:
            # No message is the window; the last that it was made of stands for it.
            at = TopicPartition(self._topic, ledger.lane.partition)
            row = report.row_of("rejected")
            made = Incoming(
                place.offset,
                report.planned_at // 1000,
                report.customer_id.encode(),
                row.model_dump_json().encode(),
                headers=(),
            )
            letter = refused(at, made, failure)
            await ledger.lane.put((), [self._outputs.dead_letter(letter)])

    async def _counted_of_user(self, ledger: Ledger, usage: UsageCounted, place: Place) -> None:
        user_id = usage.user_id or ""
        known = ledger.report(usage.report_id)
        if known is not None and known.state == "forgotten":
            return
        if (gone := ledger.lane.get(gone_key(user_id, usage.report_id))) is not None:
            # Whoever pays now: a copy of what a customer was billed is billed to that one.
            await ledger.lane.put((), [self._outputs.usage(read_usage(gone))])
            return
        if (value := ledger.lane.get(customer_key(user_id))) is not None:
            await ledger.lane.put(*self._sent_on(ledger, [usage], read_text(value), place))
            return
        waiting = (waiting_key(user_id, usage.report_id), stored_usage(place, usage))
        row = _waiting_row(usage, self._clock())
        await ledger.lane.put([waiting], [self._outputs.report(row)])
        counter(REPORTS_CHANGED, row.state).inc()

    async def _linked(self, ledger: Ledger, linked: CustomerLinked, place: Place) -> None:
        if linked.customer_id is None:
            await ledger.lane.put([(customer_key(linked.user_id), None)])
            return
        customer = (customer_key(linked.user_id), stored_text(place, linked.customer_id))
        await ledger.lane.put([customer])
        prefix = waiting_prefix(linked.user_id)
        while waiting := ledger.first(prefix, RELEASED_AT_ONCE):
            usages = [read_usage(value) for _, value in waiting]
            # Sent on before it is forgotten: what comes twice is known there.
            await ledger.lane.put(*self._sent_on(ledger, usages, linked.customer_id, place))
            await ledger.lane.put([(key, None) for key, _ in waiting])

    def _sent_on(
        self, ledger: Ledger, usages: Sequence[UsageCounted], customer_id: str, place: Place
    ) -> tuple[list[Put], list[Message]]:
        """Use of a user, to the customer's partition, and that it went there: once and for good."""
        puts: list[Put] = []
        outputs = []
        for each in usages:
            at = gone_key(each.user_id or "", each.report_id)
            if (gone := ledger.lane.get(at)) is not None:
                named = read_usage(gone)
            else:
                named = each.model_copy(update={"customer_id": customer_id})
                puts.append((at, stored_usage(place, named)))
            outputs.append(self._outputs.usage(named))
        return puts, outputs

    async def _rejected(self, ledger: Ledger, rejected: ReportRejected, place: Place) -> None:
        known = ledger.report(rejected.report_id)
        if known is None:
            raise Invalid("unknown_report", "the ledger has no such report, or not any more")
        if known.state in {"sent", "uncertain", "rejected"}:
            ended = known.changed("rejected", self._clock(), rejected.reason)
            await self._finish(ledger, ended, place)

    async def _cancel(self, ledger: Ledger, command: CancelReport, place: Place) -> None:
        known = ledger.report(command.report_id)
        if known is None or known.state not in {"sent", "uncertain", "cancelled"}:
            raise Invalid("not_cancellable", "the ledger has no such report that was sent")
        if known.state != "cancelled":
            end = self._clock() + IDENTIFIERS_KEPT

            async def call(attempt: int) -> None:
                await self._account.cancel(known, attempt)

            await self._calling.until(end, REPORTS, call)
        await self._finish(ledger, known.changed("cancelled", self._clock(), command.reason), place)

    async def _finish(self, ledger: Ledger, report: Report, place: Place) -> None:
        put = (report_key(report.report_id), stored(place, report))
        await ledger.lane.put([put], [self._outputs.report(report.row())])
        counter(REPORTS_CHANGED, report.state).inc()

    def _new(self, usage: UsageCounted) -> Report:
        return Report(
            report_id=usage.report_id,
            event_id=usage.event_id,
            meter=usage.meter,
            value=usage.value,
            occurred_at=micros(usage.occurred_at),
            customer_id=usage.customer_id or "",
            user_id=usage.user_id,
            state="planned",
            at=micros(self._clock()),
        )


def _waiting_row(usage: UsageCounted, now: datetime) -> UsageReport:
    state: Final = "pending"
    return UsageReport(
        change_id=change_id_for(usage.report_id, STAGES[state], state),
        number=STAGES[state],
        report_id=usage.report_id,
        event_id=usage.event_id,
        meter=usage.meter,
        value=usage.value,
        occurred_at=usage.occurred_at,
        user_id=usage.user_id,
        state=state,
        at=now.astimezone(UTC),
    )
