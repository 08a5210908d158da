"""What lies in the table: reports, users' customers, use that waits for one, windows."""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from uuid import UUID

import msgspec

from schemas.billing import (
    REPORTABLE,
    STAGES,
    ReportState,
    UsageCounted,
    UsageReport,
    change_id_for,
)
from streams.group.places import PLACE_SIZE, Place, UnreadableValue

KEPT: Final = REPORTABLE + timedelta(days=5)
"""After its event: what comes again after that is too old for Stripe anyway."""

_MS: Final = 1000
_VERSION: Final = b"\x01"

State = Literal["planned", "forgotten"] | ReportState
"""`planned`: it is about to be sent. `forgotten`: it has ended, and nothing else of it is kept."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A report as the table has it; times in epoch microseconds.

    `planned_at`: before it was sent for the first time. `at`: of its last change. `timestamp`: of
    the meter event, epoch seconds.
    """

    report_id: UUID
    event_id: UUID | None
    meter: str
    value: int
    occurred_at: int
    customer_id: str
    state: State
    at: int
    user_id: str | None = None
    within: UUID | None = None
    planned_at: int = 0
    timestamp: int = 0
    reason: str = ""

    def changed(self, state: State, at: datetime, reason: str = "") -> "Report":
        """The report in another state."""
        return msgspec.structs.replace(self, state=state, at=micros(at), reason=reason)

    def forgotten(self) -> "Report":
        """That it was there, for as long as reports are kept."""
        return Report(
            report_id=self.report_id,
            event_id=None,
            meter="",
            value=0,
            occurred_at=self.occurred_at,
            customer_id="",
            state="forgotten",
            at=self.at,
        )

    def row(self) -> UsageReport:
        """The change as it is told to others."""
        # Of these nobody is told.
        state = self.state
        assert state != "planned"  # noqa: S101
        assert state != "forgotten"  # noqa: S101
        return self.row_of(state)

    def row_of(self, state: ReportState) -> UsageReport:
        """What others are told of the report in this state."""
        number = STAGES[state]
        return UsageReport(
            change_id=change_id_for(self.report_id, number, state),
            number=number,
            report_id=self.report_id,
            event_id=self.event_id,
            within=self.within,
            meter=self.meter,
            value=self.value,
            occurred_at=moment(self.occurred_at),
            user_id=self.user_id,
            customer_id=self.customer_id,
            state=state,
            reason=self.reason,
            at=moment(self.at),
        )


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Use of a customer in a stretch of time that is not reported yet. `start`: epoch seconds."""

    customer_id: str
    meter: str
    start: int
    seconds: int
    revision: int
    value: int
    latest: int
    user_id: str | None = None


_Stored = Report | Window
_encode: Final = msgspec.msgpack.Encoder().encode
_decode_report: Final = msgspec.msgpack.Decoder(Report).decode
_decode_window: Final = msgspec.msgpack.Decoder(Window).decode

_REPORT: Final = b"r"
_CUSTOMER: Final = b"c"
_WAITING: Final = b"u"
_GONE: Final = b"g"
_WINDOW: Final = b"w"
_CLOSED: Final = b"x"


def forgotten_use(usage: UsageCounted) -> Report:
    """Use of a user that is known by its id alone."""
    return Report(
        report_id=usage.report_id,
        event_id=None,
        meter="",
        value=0,
        occurred_at=micros(usage.occurred_at),
        customer_id="",
        state="forgotten",
        at=micros(usage.occurred_at),
    )


def report_key(report_id: UUID) -> bytes:
    return _REPORT + report_id.bytes


def customer_key(user_id: str) -> bytes:
    """Under which the customer of a user lies."""
    return _CUSTOMER + user_id.encode()


def waiting_prefix(user_id: str) -> bytes:
    # No user's id holds a zero byte.
    return _WAITING + user_id.encode() + b"\x00"


def waiting_key(user_id: str, report_id: UUID) -> bytes:
    """Under which use lies that waits for the user's customer."""
    return waiting_prefix(user_id) + report_id.bytes


def gone_prefix(user_id: str) -> bytes:
    return _GONE + user_id.encode() + b"\x00"


def gone_key(user_id: str, report_id: UUID) -> bytes:
    """Under which use of a user lies that was sent on to a customer."""
    return gone_prefix(user_id) + report_id.bytes


def closed_key(customer_id: str, meter: str, start: int) -> bytes:
    """Under which a window lies of which all is reported."""
    return _CLOSED + window_key(customer_id, meter, start)[1:]


def window_key(customer_id: str, meter: str, start: int) -> bytes:
    return _WINDOW + f"{customer_id}\x00{meter}\x00{start}".encode()


def windows_prefix() -> bytes:
    return _WINDOW


def windows_prefixes(customer_id: str) -> tuple[bytes, bytes]:
    """With what the keys of a customer's windows begin: of those that are open, and of the others.

    No customer's id holds a zero byte.
    """
    named = customer_id.encode() + b"\x00"
    return _WINDOW + named, _CLOSED + named


def reports_prefix() -> bytes:
    return _REPORT


def stored(place: Place, value: _Stored) -> bytes:
    return place.head() + _VERSION + _encode(value)


def stored_text(place: Place, text: str) -> bytes:
    return place.head() + _VERSION + text.encode()


def stored_usage(place: Place, usage: UsageCounted) -> bytes:
    return place.head() + _VERSION + usage.model_dump_json(exclude_none=True).encode()


def read_report(value: bytes) -> Report:
    """Raises UnreadableValue."""
    try:
        return _decode_report(_body(value))
    except msgspec.DecodeError as error:
        raise _damaged(error) from None


def read_window(value: bytes) -> Window:
    """Raises UnreadableValue."""
    try:
        return _decode_window(_body(value))
    except msgspec.DecodeError as error:
        raise _damaged(error) from None


def read_text(value: bytes) -> str:
    """Raises UnreadableValue."""
    return _body(value).decode()


def read_usage(value: bytes) -> UsageCounted:
    """Raises UnreadableValue."""
    return UsageCounted.model_validate_json(_body(value))


def names_person(key: bytes, value: bytes, user_id: str, customers: Collection[str]) -> bool:
    """Whether an entry is a user's, or of one of these customers. Raises UnreadableValue."""
    if key == customer_key(user_id) or key.startswith(
        (waiting_prefix(user_id), gone_prefix(user_id))
    ):
        return True
    names = (user_id, *customers)
    if not key.startswith((_REPORT, _WINDOW, _CLOSED)) or not any(
        # Of millions most name somebody else, and are not looked at any closer.
        each.encode() in value
        for each in names
    ):
        return False
    found = read_report(value) if key.startswith(_REPORT) else read_window(value)
    return found.user_id == user_id or found.customer_id in customers


def kept_until(key: bytes, value: bytes) -> int | None:
    """Until when an entry is kept, in epoch milliseconds; None: for ever."""
    if key.startswith(_REPORT):
        occurred_at = read_report(value).occurred_at
        return occurred_at // _MS + int(KEPT.total_seconds() * _MS)
    if key.startswith((_WAITING, _GONE)):
        occurred_at = micros(read_usage(value).occurred_at)
        return occurred_at // _MS + int(KEPT.total_seconds() * _MS)
    if key.startswith(_CLOSED):
        window = read_window(value)
        return (window.start + window.seconds) * _MS + int(KEPT.total_seconds() * _MS)
    return None


def micros(at: datetime) -> int:
    """Epoch microseconds."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def moment(epoch_micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=epoch_micros)


def planned(report: Report, now: datetime) -> Report:
    """The report as it is about to be sent; what Stripe is told never changes from then on."""
    return msgspec.structs.replace(
        report,
        state="planned",
        planned_at=micros(now),
        # Stripe takes nothing that is ahead of its clock.
        timestamp=min(report.occurred_at, micros(now)) // (_MS * _MS),
    )


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def below(entries: list[tuple[bytes, bytes]], prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Those whose key begins so, of entries in the order of their keys."""
    for key, value in entries:
        if not key.startswith(prefix):
            return
        yield key, value


def _body(value: bytes) -> bytes:
    if value[PLACE_SIZE : PLACE_SIZE + 1] != _VERSION:
        raise UnreadableValue(
            "the table holds values of another release of Weir; run the newer one"
        )
    return value[PLACE_SIZE + 1 :]


def _damaged(error: msgspec.DecodeError) -> UnreadableValue:
    return UnreadableValue(f"a value of the table is damaged ({error}); restore Kafka's data")
