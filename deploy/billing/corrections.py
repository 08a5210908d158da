"""The ids under which use is counted again, or what Stripe lost is made up for."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from datetime import datetime
from itertools import count
from typing import Final
from uuid import UUID, uuid5

from schemas.billing import MAX_VALUE, report_id_for
from schemas.limits import MAX_NAME_CHARACTERS

_NAMESPACE: Final = UUID("8a4f6c1e-52d7-5b0b-9c39-2f6f0f5b7d83")
_FIRST_PRINTABLE: Final = " "
_DELETE: Final = "\x7f"


def next_report_id(event_id: UUID, meter: str, known: AbstractSet[UUID]) -> UUID:
    """That of the lowest revision without a report: the same until it has one.

    So what is on its way already is the same report, and is sent once.
    """
    revisions = (report_id_for(event_id, meter, number) for number in count())
    return next(each for each in revisions if each not in known)


def correction_ids(
    customer: str, meter: str, hour: datetime, counts: int, known: AbstractSet[UUID]
) -> Iterator[UUID]:
    """Those of corrections of an hour of which Stripe counts so much; they are without end."""
    for number in count():
        what = f"{customer}:{meter}:{int(hour.timestamp())}:{counts}:{number}"
        report_id = uuid5(_NAMESPACE, what)
        if report_id not in known:
            yield report_id


def correction_parts(units: int) -> Iterator[int]:
    """The units in parts that one report can say."""
    while units > 0:
        yield min(units, MAX_VALUE)
        units -= MAX_VALUE


def speakable(user_id: str) -> str | None:
    """The user as messages of billing may name it; None: nobody, or no name of an account."""
    if not user_id or len(user_id) > MAX_NAME_CHARACTERS:
        return None
    if any(each < _FIRST_PRINTABLE or each == _DELETE for each in user_id):
        return None
    return user_id
