"""Decides about each command that Faust hands over; what follows goes on the partition's lane."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import structlog
from aiokafka.structs import TopicPartition

from schemas.metrics.instruments import counter
from schemas.metrics.quotas import DECISIONS
from schemas.plans import Catalogue
from schemas.quotas import (
    Forget,
    QuotaCommand,
    QuotaDecision,
    Refund,
    Restore,
    Show,
    Spend,
    decision_id_for,
    refusal_id_for,
)
from schemas.tracing import consumed
from streams.dead_letters import refused
from streams.failures import Invalid
from streams.group.places import Place, Put, is_older, place_of
from streams.group.reading import Event
from streams.group.table_lane import Flight, TableLane
from streams.messages import Message
from streams.quotas import stored
from streams.quotas.account import Account, Remembered, Step
from streams.quotas.credits import decide
from streams.quotas.forgetting import erasure, stored_keys
from streams.quotas.intake import read_command
from streams.quotas.outputs import Outputs
from streams.quotas.stored import Outcome
from streams.records import Record
from streams.replying import reply_address, waiting

log = structlog.get_logger()

_MS: Final = 1000


@dataclass(frozen=True, slots=True)
class _Case:
    """A command where it lies."""

    lane: TableLane
    event: Event
    record: Record
    command: QuotaCommand
    user_key: bytes
    place: Place
    decision_id: UUID


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
        self._traced = {"messaging.system": "kafka", "messaging.destination.name": topic}

    def take(self, lane: TableLane, record: Record, event: Event) -> None:
        """Decides about the record's command, and submits what follows for the event."""
        with consumed("quota decision", record.headers, self._traced):
            try:
                flight = self._flight(lane, record, event)
            except Invalid as failure:
                letter = self._dead_letter(lane, record, failure)
                flight = Flight(event, record, outputs=[letter])
            lane.submit(flight)

    def _flight(self, lane: TableLane, record: Record, event: Event) -> Flight:
        command = read_command(record, lane.partition, self._partitions)
        if isinstance(command, Forget):
            return self._forgotten(lane, record, event, command)
        case = _Case(
            lane,
            event,
            record,
            command,
            stored.account_key(command.user_id),
            Place(self._topic_id.bytes, record.offset),
            decision_id_for(str(self._topic_id), lane.partition, record.offset),
        )
        value = lane.get(case.user_key)
        if isinstance(command, Show):
            return self._shown(case, value)
        if value is not None and self._is_applied(case, value):
            return self._again(case, stored.outbox_of(value).get(record.offset))
        return self._decided(case, None if value is None else stored.read_account(value))

    def _forgotten(self, lane: TableLane, record: Record, event: Event, command: Forget) -> Flight:
        """No decision and no reply: either would name the user again."""
        place = Place(self._topic_id.bytes, record.offset)
        user_key = stored.account_key(command.user_id)
        return Flight(
            event,
            record,
            [(key, None) for key in stored_keys(lane, user_key, place)],
            erases=erasure(user_key, place),
        )

    def _is_applied(self, case: _Case, value: bytes) -> bool:
        applied = place_of(value)
        return applied.topic_id == case.place.topic_id and applied.offset >= case.place.offset

    def _shown(self, case: _Case, value: bytes | None) -> Flight:
        account = None if value is None else stored.read_account(value)
        decision = self._step(case, account, {}).decision
        _count(case, decision)
        return Flight(
            case.event,
            case.record,
            outputs=self._reply(case, decision.model_dump_json().encode()),
        )

    def _decided(self, case: _Case, account: Account | None) -> Flight:
        step = self._step(case, account, _past(case))
        _count(case, step.decision)
        decision = step.decision.model_dump_json().encode()
        remembered = _entries(case, step)
        # What a restore brings may be hundreds; it follows from the command alone.
        kept = remembered[-1:] if isinstance(case.command, Restore) else remembered
        outcome = Outcome(case.record.offset, decision, kept).encoded()
        puts: list[Put] = list(remembered)
        if step.account is not None and step.account is not account:
            # The account first: what of its entries is missing, the outbox makes good.
            outbox = (*case.lane.outbox(case.user_key), outcome)
            puts.insert(0, (case.user_key, stored.account_value(case.place, step.account, outbox)))
        outputs = self._leaving(case, step.decision, decision)
        return Flight(case.event, case.record, puts, outputs, case.user_key, outcome)

    def _again(self, case: _Case, body: bytes | None) -> Flight:
        """A command that was decided before: what may be missing of its outcome, nothing else."""
        if body is None:
            return Flight(case.event, case.record)
        outcome = Outcome.decode(case.record.offset, body)
        decision = QuotaDecision.model_validate_json(outcome.decision)
        entries = outcome.remembered
        is_own = decision.applied and not _is_repeated(case, decision)
        if isinstance(case.command, Restore) and is_own:
            # It was found to fit; the account that it says it replaces is not there any more.
            anew = case.command.model_copy(update={"replaces": None})
            step = self._step(replace(case, command=anew), None, {})
            entries = (*_entries(case, step)[:-1], *entries)
        puts: list[Put] = []
        for key, value in entries:
            current = case.lane.get(key)
            if current is None or is_older(current, value, case.place.topic_id):
                puts.append((key, value))
        outputs = self._leaving(case, decision, outcome.decision)
        return Flight(case.event, case.record, puts, outputs, case.user_key, outcome.encoded())

    def _step(self, case: _Case, account: Account | None, past: Mapping[UUID, Remembered]) -> Step:
        try:
            return decide(account, case.command, past, self._catalogue, case.decision_id)
        except Exception as error:
            # A pure step that fails will fail again: it must not stop the users beside it.
            log.exception("a command cannot be decided", offset=case.record.offset)
            raise Invalid("not_decidable", f"deciding ended in {type(error).__name__}") from error

    def _leaving(self, case: _Case, decision: QuotaDecision, encoded: bytes) -> list[Message]:
        partition = case.lane.partition
        repeated = _is_repeated(case, decision)
        leaving = self._reply(case, encoded)
        if not repeated:
            # Else it is the answer to an earlier command with this id: in the ledger already.
            leaving += self._outputs.of_decision(partition, case.user_key, decision, encoded)
        if isinstance(case.command, Spend) and case.command.post is not None:
            leaving += self._of_post(case, case.command, decision, repeated=repeated)
        return leaving

    def _of_post(
        self, case: _Case, command: Spend, decision: QuotaDecision, *, repeated: bool
    ) -> Iterator[Message]:
        """The job of a post that is paid for; who asks for it again gets its result again."""
        assert command.post is not None  # noqa: S101, as who calls has seen
        partition = case.lane.partition
        if decision.applied:
            yield self._outputs.job(
                partition, command, command.post, waiting(case.record), repeated=repeated
            )
        elif decision.problem == "quota_exceeded" and not repeated:
            yield self._outputs.no_job(partition, command, decision)

    def _reply(self, case: _Case, decision: bytes) -> list[Message]:
        address = reply_address(case.record, self._reply_partitions)
        return [] if address is None else [self._outputs.reply(address, decision)]

    def _dead_letter(self, lane: TableLane, record: Record, failure: Invalid) -> Message:
        return self._outputs.dead_letter(
            refused(TopicPartition(self._topic, lane.partition), record, failure)
        )


def _is_repeated(case: _Case, decision: QuotaDecision) -> bool:
    """Whether it is the answer to an earlier command with this id."""
    own = case.decision_id
    return decision.kind != "show" and decision.decision_id not in {own, refusal_id_for(own)}


def _count(case: _Case, decision: QuotaDecision) -> None:
    outcome = "repeated" if _is_repeated(case, decision) else decision.problem or "applied"
    counter(DECISIONS, case.command.kind, outcome).inc()


def _past(case: _Case) -> dict[UUID, Remembered]:
    """What is remembered of the command, and of the spend that it refunds."""
    ids = [case.command.command_id]
    if isinstance(case.command, Refund):
        ids.append(case.command.spend_id)
    found = {}
    for each in ids:
        value = case.lane.get(stored.remembered_key(case.user_key, each))
        # What the sweep may have deleted is not known, whether it has or not: a replay finds
        # what the first time found.
        if value is not None and stored.remembered_until(value) > case.record.timestamp:
            found[each] = stored.read_remembered(value)
    return found


def _entries(case: _Case, step: Step) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(
        (
            stored.remembered_key(case.user_key, entry.command_id),
            stored.remembered_value(case.place, entry, _kept_until(entry, case.record)),
        )
        for entry in step.remember
    )


def _kept_until(entry: Remembered, record: Record) -> int:
    """As long after the arrival as the entry is kept after its decision, in epoch ms."""
    span = entry.keep_until - entry.decision.decided_at
    by_log = record.timestamp + int(span.total_seconds() * _MS)
    return max(by_log, int(entry.keep_until.timestamp() * _MS))
