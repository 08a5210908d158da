"""Decides about each command that Faust hands over; what follows goes on the partition's lane."""

from typing import Final
from uuid import UUID

import structlog
from aiokafka.structs import TopicPartition

from schemas.plans import Catalogue
from schemas.quotas import QuotaCommand, QuotaDecision, Refund, Restore, Show, decision_id_for
from streams.dead_letters import dead_letter
from streams.failures import Invalid
from streams.quotas import stored
from streams.quotas.account import Account, Remembered, Step
from streams.quotas.credits import decide
from streams.quotas.intake import read_command, reply_address
from streams.quotas.lane import Event, Flight, Lane
from streams.quotas.outputs import Message, Outputs
from streams.quotas.stored import Outcome, Place
from streams.records import Record

log = structlog.get_logger()

_MS: Final = 1000


class Accountant:
    """One writer for each user: commands of a partition are decided in the order of the log."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        outputs: Outputs,
        topic: str,
        topic_id: UUID,
        partitions: int,
        reply_partitions: int,
    ) -> None:
        """`topic`, `topic_id` and `partitions` are those of the commands."""
        self._catalogue = catalogue
        self._outputs = outputs
        self._topic = topic
        self._topic_id = topic_id
        self._partitions = partitions
        self._reply_partitions = reply_partitions

    def take(self, lane: Lane, record: Record, event: Event) -> None:
        """Decides about the record's command, and submits what follows for the event."""
        try:
            flight = self._flight(lane, event, record)
        except Invalid as failure:
            letter = self._dead_letter(lane, record, failure)
            flight = Flight(
                event, outputs=[letter], offset=record.offset, timestamp=record.timestamp
            )
        lane.submit(flight)

    def _flight(self, lane: Lane, event: Event, record: Record) -> Flight:
        command = read_command(record, lane.partition, self._partitions)
        user_key = stored.account_key(command.user_id)
        place = Place(self._topic_id.bytes, record.offset)
        value = lane.get(user_key)
        if value is not None and not isinstance(command, Show):
            applied = stored.place_of(value)
            if applied.topic_id == place.topic_id and applied.offset >= place.offset:
                body = stored.outbox_of(value).get(place.offset)
                return self._again(lane, event, record, command, body)

        account = None if value is None else stored.read_account(value)
        step = self._step(lane, record, user_key, account, command)
        decision = step.decision.model_dump_json().encode()
        if isinstance(command, Show):
            reply = self._reply(record, decision)
            return Flight(event, outputs=reply, offset=record.offset, timestamp=record.timestamp)
        remembered = self._entries(record, user_key, step)
        # Those of a restore may be hundreds; they follow from the command alone.
        kept = () if isinstance(command, Restore) else remembered
        outcome = Outcome(record.offset, decision, kept).encoded()
        puts: list[stored.Put] = list(remembered)
        if step.account is not None and step.account is not account:
            # The account first: what of its entries is missing, the outbox makes good.
            outbox = (*lane.outbox(user_key), outcome)
            puts.insert(0, (user_key, stored.account_value(place, step.account, outbox)))
        outputs = self._leaving(lane, record, user_key, step.decision, decision)
        return Flight(event, puts, outputs, user_key, outcome, record.offset, record.timestamp)

    def _again(
        self,
        lane: Lane,
        event: Event,
        record: Record,
        command: QuotaCommand,
        body: bytes | None,
    ) -> Flight:
        """A command that was decided before: what may be missing of its outcome, nothing else."""
        if body is None:
            return Flight(event, offset=record.offset, timestamp=record.timestamp)
        user_key = stored.account_key(command.user_id)
        outcome = Outcome.decode(record.offset, body)
        entries = outcome.remembered
        if isinstance(command, Restore):
            step = decide(None, command, {}, self._catalogue, self._id_of(lane, record))
            entries = self._entries(record, user_key, step)
        puts: list[stored.Put] = []
        for key, value in entries:
            current = lane.get(key)
            if current is None or stored.is_older(current, value, self._topic_id.bytes):
                puts.append((key, value))
        decision = QuotaDecision.model_validate_json(outcome.decision)
        outputs = self._leaving(lane, record, user_key, decision, outcome.decision)
        return Flight(
            event, puts, outputs, user_key, outcome.encoded(), record.offset, record.timestamp
        )

    def _entries(
        self, record: Record, user_key: bytes, step: Step
    ) -> tuple[tuple[bytes, bytes], ...]:
        place = Place(self._topic_id.bytes, record.offset)
        return tuple(
            (
                stored.remembered_key(user_key, entry.command_id),
                stored.remembered_value(place, entry, _kept_until(entry, record)),
            )
            for entry in step.remember
        )

    def _step(
        self,
        lane: Lane,
        record: Record,
        user_key: bytes,
        account: Account | None,
        command: QuotaCommand,
    ) -> Step:
        ids = [command.command_id]
        if isinstance(command, Refund):
            ids.append(command.spend_id)
        past = {}
        for each in ids:
            value = lane.get(stored.remembered_key(user_key, each))
            # What the sweep may have deleted is not known, whether it has or not: a replay finds
            # what the first time found.
            if value is not None and stored.kept_until(value) > record.timestamp:
                past[each] = stored.read_remembered(value)
        try:
            return decide(account, command, past, self._catalogue, self._id_of(lane, record))
        except Exception as error:
            # A pure step that fails will fail again: it must not stop the users beside it.
            log.exception("a command cannot be decided", offset=record.offset)
            raise Invalid("not_decidable", f"deciding ended in {type(error).__name__}") from error

    def _leaving(
        self,
        lane: Lane,
        record: Record,
        user_key: bytes,
        decision: QuotaDecision,
        encoded: bytes,
    ) -> list[Message]:
        reply = self._reply(record, encoded)
        if decision.decision_id != self._id_of(lane, record):
            # The answer to an earlier command with the same id, which is in the ledger already.
            return reply
        return [
            *self._outputs.of_decision(lane.partition, user_key, decision, encoded),
            *reply,
        ]

    def _reply(self, record: Record, decision: bytes) -> list[Message]:
        address = reply_address(record, self._reply_partitions)
        return [] if address is None else [self._outputs.reply(address, decision)]

    def _dead_letter(self, lane: Lane, record: Record, failure: Invalid) -> Message:
        log.warning(
            "dead letter",
            partition=lane.partition,
            offset=record.offset,
            reason=failure.reason,
            detail=failure.detail,
        )
        return self._outputs.dead_letter(
            dead_letter(TopicPartition(self._topic, lane.partition), record, failure)
        )

    def _id_of(self, lane: Lane, record: Record) -> UUID:
        return decision_id_for(str(self._topic_id), lane.partition, record.offset)


def _kept_until(entry: Remembered, record: Record) -> int:
    """As long after the arrival as the entry is kept after its decision, in epoch ms."""
    span = entry.keep_until - entry.decision.decided_at
    by_log = record.timestamp + int(span.total_seconds() * _MS)
    return max(by_log, int(entry.keep_until.timestamp() * _MS))
