"""Erases a user from a partition of the ledger, so that nothing is billed twice by what is gone."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from schemas.billing import ForgetUse
from streams.billing.ledger import Ledger
from streams.billing.reports import (
    Report,
    Window,
    customer_key,
    forgotten_use,
    gone_prefix,
    read_report,
    read_usage,
    read_window,
    report_key,
    reports_prefix,
    stored,
    waiting_prefix,
    windows_prefixes,
)
from streams.group.places import Place, Put, place_of
from streams.group.table import range_below
from streams.group.table_lane import Erasure

AT_ONCE: Final = 200
LOOKED_AT: Final = 500
"""Entries after which others have their turn: about a millisecond."""


async def forget_user(ledger: Ledger, command: ForgetUse, place: Place) -> None:
    """Whose customer the user is, and use that waited for one or was sent on to it.

    A report's id stays, as `forgotten`: a copy of the event is no new use.
    """
    at = customer_key(command.user_id)
    value = ledger.lane.get(at)
    if value is not None and not _is_later(value, place):
        await ledger.lane.put([(at, None)], erases=Erasure(place, (at, at)))
    for prefix in (waiting_prefix(command.user_id), gone_prefix(command.user_id)):
        puts: list[Put] = []
        for key in ledger.lane.keys_below(prefix):
            value = ledger.lane.get(key)
            if value is None or _is_later(value, place):
                continue
            usage = read_usage(value)
            # First: where this ends in between, the key that is left leads here again.
            if ledger.report(usage.report_id) is None:
                puts.append((report_key(usage.report_id), stored(place, forgotten_use(usage))))
            puts.append((key, None))
            if len(puts) >= AT_ONCE:
                await ledger.lane.put(puts, erases=Erasure(place, range_below(prefix)))
                puts = []
        if puts:
            await ledger.lane.put(puts, erases=Erasure(place, range_below(prefix)))


async def forget_customer(
    ledger: Ledger, command: ForgetUse, customer_id: str, place: Place
) -> None:
    """The user's name in the customer's reports and windows, or all that is known of them.

    Not of those that name somebody else: they came when the customer was found to be the user
    alone. What is not reported yet stays, for who looks again. The customer's lock is held.
    """
    for prefix in windows_prefixes(customer_id):
        await _forget_windows(ledger, command, prefix, place)
    await _forget_reports(ledger, command, customer_id, place)


async def _forget_windows(ledger: Ledger, command: ForgetUse, prefix: bytes, place: Place) -> None:
    erases = Erasure(place, range_below(prefix))
    puts: list[Put] = []
    for number, key in enumerate(ledger.lane.keys_below(prefix)):
        if number % LOOKED_AT == 0:
            await asyncio.sleep(0)
        value = ledger.lane.get(key)
        if value is None or _is_later(value, place):
            continue
        window = read_window(value)
        if command.whole and not window.value and not _is_others(window, command):
            puts.append((key, None))
        elif window.user_id == command.user_id:
            puts.append((key, stored(place, _nameless(window))))
        if len(puts) >= AT_ONCE:
            await ledger.lane.put(puts, erases=erases)
            puts = []
    if puts:
        await ledger.lane.put(puts, erases=erases)


async def _forget_reports(
    ledger: Ledger, command: ForgetUse, customer_id: str, place: Place
) -> None:
    named = customer_id.encode()
    puts: list[Put] = []
    for number, (key, value) in enumerate(ledger.all(reports_prefix())):
        if number % LOOKED_AT == 0:
            await asyncio.sleep(0)
        # Of millions most are another customer's, and are not looked at any closer.
        if named not in value:
            continue
        report = read_report(value)
        if (
            report.customer_id != customer_id
            or report.state == "planned"
            or _is_later(value, place)
        ):
            continue
        if command.whole and not _is_others(report, command):
            puts.append((key, stored(place, report.forgotten())))
        elif report.user_id == command.user_id:
            puts.append((key, stored(place, _nameless(report))))
        if len(puts) >= AT_ONCE:
            await ledger.lane.put(puts, erases=_among(place, puts))
            puts = []
    if puts:
        await ledger.lane.put(puts, erases=_among(place, puts))


def _among(place: Place, puts: Sequence[Put]) -> Erasure:
    """Of reports, whose ids lie among all others'."""
    return Erasure(place, (puts[0][0], puts[-1][0]))


def _nameless(value: Report | Window) -> Report | Window:
    return msgspec.structs.replace(value, user_id=None)


def _is_others(value: Report | Window, command: ForgetUse) -> bool:
    """Whether it is somebody else's: then the customer was not only the user's."""
    return value.user_id not in {None, command.user_id}


def _is_later(value: bytes, place: Place) -> bool:
    """Whether it was made by what came after the command, which then is read again."""
    made = place_of(value)
    return made.topic_id == place.topic_id and made.offset > place.offset
