"""What leads from billing to others: reports, customers, plans, dead letters, forwarded use."""

from schemas.billing import (
    CustomerLinked,
    ReportRejected,
    StripeCustomer,
    UsageCounted,
    UsageReport,
)
from schemas.dead_letters import DeadLetter
from schemas.partitioning import partition_for
from schemas.quotas import PlanChanged
from schemas.servers import KafkaSettings
from schemas.topics import (
    DEAD_LETTERS,
    QUOTA_COMMANDS,
    STRIPE_CUSTOMERS,
    USAGE_COMMANDS,
    USAGE_REPORTS,
)
from streams.dead_letters import letter_message
from streams.messages import Message


class Outputs:
    """Makes messages; their keys decide where they lie."""

    def __init__(self, settings: KafkaSettings, partitions: int) -> None:
        """`partitions`: of every topic that is keyed by user or customer."""
        self._partitions = partitions
        self._commands = settings.topic(USAGE_COMMANDS.name)
        self._reports = settings.topic(USAGE_REPORTS.name)
        self._customers = settings.topic(STRIPE_CUSTOMERS.name)
        self._quotas = settings.topic(QUOTA_COMMANDS.name)
        self._dead_letters = settings.topic(DEAD_LETTERS.name)

    def usage(self, usage: UsageCounted) -> Message:
        """To the customer's partition, or to the user's while no customer is known."""
        key = usage.customer_id or usage.user_id or ""
        return self._command(key, usage.model_dump_json(exclude_none=True))

    def linked(self, linked: CustomerLinked) -> Message:
        return self._command(linked.user_id, linked.model_dump_json())

    def rejected(self, rejected: ReportRejected) -> Message:
        return self._command(rejected.customer_id, rejected.model_dump_json())

    def report(self, report: UsageReport) -> Message:
        key = report.customer_id or report.user_id or ""
        return self._keyed(self._reports, key, report.model_dump_json())

    def customer(self, customer: StripeCustomer) -> Message:
        return self._keyed(self._customers, customer.user_id, customer.model_dump_json())

    def plan(self, command: PlanChanged) -> Message:
        said = command.model_dump_json(exclude_none=True)
        return self._keyed(self._quotas, command.user_id, said)

    def dead_letter(self, letter: DeadLetter) -> Message:
        """A message that could not be used."""
        return letter_message(self._dead_letters, letter)

    def _command(self, key: str, value: str) -> Message:
        return self._keyed(self._commands, key, value)

    def _keyed(self, topic: str, key: str, value: str) -> Message:
        partition = partition_for(key.encode(), self._partitions)
        return Message(topic, partition, key.encode(), value.encode())
