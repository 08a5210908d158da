"""Accounts and what they remember as bytes in the table.

The first byte is the version of what follows (MessagePack), so that what an earlier release wrote
can be read, or is refused by name. Fields that are added at the end, with a default, need no new
version; whatever else changes does, and the reading of the versions before stays.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from schemas.quotas import QuotaDecision, TopUpChange
from streams.group.places import UnreadableValue
from streams.quotas.account import Account, HeldTopUp, Remembered

_VERSION: Final = b"\x01"


class _Account(msgspec.Struct, array_like=True, frozen=True):
    user_id: str
    plan: str
    period_start: datetime
    period_end: datetime
    usage_since: datetime
    subscription: bool
    anchor_day: int
    period_number: int
    used: int
    top_up_credits_used: int
    top_ups: tuple[tuple[UUID, int, datetime | None], ...]
    crossed: frozenset[int]
    changes: int
    latest: datetime | None


class _Decision(msgspec.Struct, array_like=True, frozen=True):
    decision_id: UUID
    command_id: UUID
    user_id: str
    kind: str
    applied: bool
    problem: str | None
    reason: str
    count: int
    spend_id: UUID | None
    change: int
    top_up_changes: list[tuple[UUID, int, datetime | None]]
    number: int
    plan: str
    plans_version: int
    subscription: bool
    limit: int
    quota_used: int
    remaining: int
    period_start: datetime
    resets_at: datetime
    period_number: int
    crossed: list[int]
    fingerprint: str
    decided_at: datetime


class _Remembered(msgspec.Struct, array_like=True, frozen=True):
    command_id: UUID
    fingerprint: str
    decision: _Decision
    keep_until: datetime
    refunded: bool


_encode: Final = msgspec.msgpack.Encoder(uuid_format="bytes").encode
_account: Final = msgspec.msgpack.Decoder(_Account).decode
_remembered: Final = msgspec.msgpack.Decoder(_Remembered).decode


def encode_account(account: Account) -> bytes:
    """The account as the table keeps it."""
    return _VERSION + _encode(
        _Account(
            account.user_id,
            account.plan,
            account.period_start,
            account.period_end,
            account.usage_since,
            account.subscription,
            account.anchor_day,
            account.period_number,
            account.used,
            account.top_up_credits_used,
            tuple((each.top_up_id, each.left, each.ends_at) for each in account.top_ups),
            account.crossed,
            account.changes,
            account.latest,
        )
    )


def decode_account(value: bytes) -> Account:
    """The account of these bytes. Raises UnreadableValue."""
    _check_version(value, "an account")
    try:
        wire = _account(memoryview(value)[1:])
    except msgspec.DecodeError as error:
        raise _damaged("an account", error) from None
    return Account(
        user_id=wire.user_id,
        plan=wire.plan,
        period_start=wire.period_start,
        period_end=wire.period_end,
        usage_since=wire.usage_since,
        subscription=wire.subscription,
        anchor_day=wire.anchor_day,
        period_number=wire.period_number,
        used=wire.used,
        top_up_credits_used=wire.top_up_credits_used,
        top_ups=tuple(HeldTopUp(*each) for each in wire.top_ups),
        crossed=wire.crossed,
        changes=wire.changes,
        latest=wire.latest,
    )


def encode_remembered(entry: Remembered) -> bytes:
    """The entry as the table keeps it."""
    decision = entry.decision
    return _VERSION + _encode(
        _Remembered(
            entry.command_id,
            entry.fingerprint,
            _Decision(
                decision.decision_id,
                decision.command_id,
                decision.user_id,
                decision.kind,
                decision.applied,
                decision.problem,
                decision.reason,
                decision.count,
                decision.spend_id,
                decision.change,
                [(each.top_up_id, each.change, each.ends_at) for each in decision.top_up_changes],
                decision.number,
                decision.plan,
                decision.plans_version,
                decision.subscription,
                decision.limit,
                decision.quota_used,
                decision.remaining,
                decision.period_start,
                decision.resets_at,
                decision.period_number,
                decision.crossed,
                decision.fingerprint,
                decision.decided_at,
            ),
            entry.keep_until,
            entry.refunded,
        )
    )


def decode_remembered(value: bytes) -> Remembered:
    """The entry of these bytes. Raises UnreadableValue."""
    _check_version(value, "a remembered command")
    try:
        wire = _remembered(memoryview(value)[1:])
    except msgspec.DecodeError as error:
        raise _damaged("a remembered command", error) from None
    fields = msgspec.structs.asdict(wire.decision)
    fields["top_up_changes"] = [
        TopUpChange(top_up_id=top_up_id, change=change, ends_at=ends_at)
        for top_up_id, change, ends_at in wire.decision.top_up_changes
    ]
    return Remembered(
        command_id=wire.command_id,
        fingerprint=wire.fingerprint,
        # Not validated: it was when it was decided, and bounds may have become narrower since.
        decision=QuotaDecision.model_construct(**fields),
        keep_until=wire.keep_until,
        refunded=wire.refunded,
    )


def _check_version(value: bytes, what: str) -> None:
    if value[:1] != _VERSION:
        raise UnreadableValue(
            f"{what} in the table is of version {value[0] if value else 'none'}, this release "
            "reads version 1: run the release that wrote it, or a later one"
        )


def _damaged(what: str, error: msgspec.DecodeError) -> UnreadableValue:
    return UnreadableValue(
        f"{what} in the table is damaged ({error}): stop the worker and delete its data directory, "
        "it is built again from the changelog"
    )
