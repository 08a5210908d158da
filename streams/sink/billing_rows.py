"""Rows of billing: one for each change of a report of use, one for each change of a customer."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from schemas.billing import StripeCustomer, UsageReport
from schemas.topics import STRIPE_CUSTOMERS, USAGE_REPORTS, Topic
from streams.failures import Invalid
from streams.records import Record
from streams.sink.model_rows import arrival, rows_of_model
from streams.sink.records import Made, Row, Source

REPORT_COLUMNS: Final = (
    "change_id",
    "number",
    "report_id",
    "event_id",
    "within",
    "meter",
    "value",
    "occurred_at",
    "user_id",
    "customer_id",
    "state",
    "reason",
    "at",
    "received_at",
    "report_topic",
    "report_partition",
    "report_incarnation",
    "report_offset",
)

CUSTOMER_COLUMNS: Final = (
    "change_id",
    "user_id",
    "customer_id",
    "plan",
    "subscription_id",
    "status",
    "period_start",
    "period_end",
    "at",
    "received_at",
    "change_topic",
    "change_partition",
    "change_incarnation",
    "change_offset",
)


def report_rows(source: Source, records: Sequence[Record]) -> Made:
    """The rows of reports; others have none (somebody else wrote to the topic)."""

    def row(report: UsageReport, record: Record) -> tuple[bytes, Row]:
        _refuse_wrong_key(USAGE_REPORTS, report.customer_id or report.user_id or "", record)
        return report.change_id.bytes, (
            str(report.change_id),
            report.number,
            str(report.report_id),
            None if report.event_id is None else str(report.event_id),
            None if report.within is None else str(report.within),
            report.meter,
            report.value,
            _time(report.occurred_at),
            report.user_id or "",
            report.customer_id or "",
            report.state,
            report.reason,
            _time(report.at),
            *arrival(source, record),
        )

    return rows_of_model(UsageReport, records, row)


def customer_rows(source: Source, records: Sequence[Record]) -> Made:
    """The rows of customers; others have none (somebody else wrote to the topic)."""

    def row(customer: StripeCustomer, record: Record) -> tuple[bytes, Row]:
        _refuse_wrong_key(STRIPE_CUSTOMERS, customer.user_id, record)
        return customer.change_id.bytes, (
            str(customer.change_id),
            customer.user_id,
            customer.customer_id,
            customer.plan,
            customer.subscription_id,
            customer.status,
            None if customer.period_start is None else _time(customer.period_start),
            None if customer.period_end is None else _time(customer.period_end),
            _time(customer.at),
            *arrival(source, record),
        )

    return rows_of_model(StripeCustomer, records, row)


def _refuse_wrong_key(topic: Topic, key: str, record: Record) -> None:
    if record.key != key.encode():
        raise Invalid("wrong_key", f"the message key must be the {topic.key}")


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"
