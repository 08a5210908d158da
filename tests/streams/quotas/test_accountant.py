"""What each command leaves in the table, also when the worker was killed in the middle of it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import cast
from uuid import UUID, uuid4

import pytest

from schemas.plans import read_catalogue
from schemas.quotas import PastCommand, Period, QuotaCommand, Refund, Restore, Spend
from schemas.servers import KafkaSettings
from streams.group.reading import Incoming
from streams.group.table_lane import Flight, TableLane
from streams.quotas.account import Remembered
from streams.quotas.accountant import Accountant
from streams.quotas.credits import decide
from streams.quotas.outputs import Outputs
from streams.quotas.stored import account_key, read_account, read_remembered, remembered_key
from tests.streams.quotas.values import NOW_TOPIC

USER = "somebody"
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
PERIOD = Period(start=datetime(2026, 11, 1, tzinfo=UTC), end=datetime(2026, 12, 1, tzinfo=UTC))


class Read:
    """A message that nobody waits for."""

    def ack(self) -> bool:
        return True


class Table:
    """A lane whose flights are kept, and stored as far as a test says."""

    partition = 0

    def __init__(self) -> None:
        self.values: dict[bytes, bytes | None] = {}
        self.flights: list[Flight] = []
        self.outboxes: Sequence[bytes] = ()

    def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    def outbox(self, user_key: bytes) -> Sequence[bytes]:
        return self.outboxes

    def submit(self, flight: Flight) -> None:
        self.flights.append(flight)

    def store(self, puts: int | None = None) -> None:
        """The last flight's changes: the first so many, or all."""
        self.values.update(self.flights[-1].puts[:puts])


class Desk:
    def __init__(self) -> None:
        self.table = Table()
        self.offsets = count()
        self.accountant = Accountant(
            catalogue=read_catalogue(),
            outputs=Outputs(KafkaSettings()),
            topic="quota-commands",
            topic_id=UUID(bytes=NOW_TOPIC),
            partitions=1,
            reply_partitions=1,
        )

    def message(self, command: QuotaCommand) -> Incoming:
        stamp = round(NOW.timestamp() * 1000)
        value = command.model_dump_json().encode()
        return Incoming(next(self.offsets), stamp, USER.encode(), value, ())

    def take(self, message: Incoming) -> Flight:
        # Of a lane it is what the accountant looks at.
        self.accountant.take(cast("TableLane", self.table), message, Read())
        return self.table.flights[-1]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def a_spend(number: int) -> Spend:
    return Spend(command_id=uuid4(), user_id=USER, issued_at=NOW, reason="a test", count=number)


def past(command: Spend, ago: timedelta = timedelta(days=1)) -> PastCommand:
    """The command as a ledger has it."""
    earlier = command.model_copy(update={"issued_at": NOW - ago})
    step = decide(None, earlier, {}, read_catalogue(), uuid4())
    [entry] = step.remember
    return PastCommand(
        command_id=command.command_id, fingerprint=entry.fingerprint, decision=entry.decision
    )


def a_restore(remembered: list[PastCommand], replaces: int) -> Restore:
    return Restore(
        command_id=uuid4(),
        user_id=USER,
        issued_at=NOW,
        reason="a test",
        plan="free",
        period=PERIOD,
        subscription=False,
        plan_credits_used=50,
        changes=9,
        remembered=remembered,
        replaces=replaces,
    )


def remembered(desk: Desk, command_id: UUID) -> Remembered | None:
    value = desk.table.get(remembered_key(account_key(USER), command_id))
    return None if value is None else read_remembered(value)


def test_a_restore_that_was_torn_is_made_whole_when_it_comes_again(desk: Desk) -> None:
    desk.take(desk.message(a_spend(3)))
    desk.table.store()
    spends = [a_spend(1) for _ in range(5)]
    restore = a_restore([past(each) for each in spends], replaces=1)
    message = desk.message(restore)
    whole = dict(desk.take(message).puts)
    # The account and the first two of what it remembers.
    desk.table.store(3)
    again = desk.take(message)
    desk.table.store()
    assert {key: desk.table.values[key] for key in whole} == whole
    assert len(again.puts) == len(whole) - 3
    assert all(remembered(desk, each.command_id) for each in spends)


def test_a_restore_that_was_refused_brings_nothing_when_it_comes_again(desk: Desk) -> None:
    desk.take(desk.message(a_spend(3)))
    desk.table.store()
    spend = a_spend(1)
    message = desk.message(a_restore([past(spend)], replaces=0))
    desk.take(message)
    desk.table.store()
    desk.take(desk.message(a_spend(2)))
    desk.table.store()
    desk.take(message)
    desk.table.store()
    assert remembered(desk, spend.command_id) is None
    value = desk.table.get(account_key(USER))
    assert value is not None
    assert read_account(value).used == 5


def test_of_a_command_that_was_decided_twice_the_later_decision_is_restored(desk: Desk) -> None:
    spend = a_spend(4)
    first, later = past(spend, timedelta(days=2)), past(spend)
    flight = desk.take(desk.message(a_restore([first, later], replaces=0)))
    keys = [key for key, _ in flight.puts]
    assert len(set(keys)) == len(keys)
    desk.table.store()
    entry = remembered(desk, spend.command_id)
    assert entry is not None
    assert entry.decision == later.decision


def test_a_restore_that_is_asked_for_again_does_not_bring_back_what_was_since_refunded(
    desk: Desk,
) -> None:
    spend = a_spend(4)
    restore = a_restore([past(spend)], replaces=0)
    desk.take(desk.message(restore))
    desk.table.store()
    refund = Refund(
        command_id=uuid4(), user_id=USER, issued_at=NOW, reason="a test", spend_id=spend.command_id
    )
    desk.take(desk.message(refund))
    desk.table.store()
    again = desk.message(restore)
    outcome = desk.take(again).outcome
    # Beside it in flight, another command has changed the account: its outbox holds both.
    desk.table.outboxes = [outcome]
    desk.take(desk.message(a_spend(1)))
    desk.table.store()
    desk.take(again)
    desk.table.store()
    entry = remembered(desk, spend.command_id)
    assert entry is not None
    assert entry.refunded
