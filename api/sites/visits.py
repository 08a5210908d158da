"""What a page sent, as events: named for its visitor, with what the request says of the browser."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid5

import msgspec
from msgspec import Raw

from schemas.decoding import (
    InvalidEvent,
    WireEvent,
    canonical_time,
    explain_new_event,
    metadata_problem,
)
from schemas.limits import MAX_CLOCK_SKEW
from schemas.metadata_members import CUSTOMER, SITE

# As the middleware cuts them (`sdk/weir_sdk/limits.py`).
MAX_REFERRER_CHARACTERS: Final = 500
MAX_USER_AGENT_CHARACTERS: Final = 500

_decode_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_any: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode
_ANY_TIME: Final = datetime(9999, 12, 30, tzinfo=UTC)
# Also as JSON.stringify writes it before the year 0 and after 9999.
_TIME: Final = re.compile(
    r"([+-]?[0-9]{4,6})-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
    r"(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})"
)
_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 9999
_NAMESPACE: Final = UUID("66178f26-41ca-4144-b224-1ab886ff3850")
_MADE_HERE: Final = ("visitor_id", "source")


@dataclass(frozen=True, slots=True)
class Visit:
    """Whose events these are. `visitor_id` is None when nobody may be named."""

    site_id: str
    source: str
    visitor_id: str | None
    user_agent: bytes
    host: str


def asks_not_to_be_named(headers: Mapping[bytes, bytes]) -> bool:
    """Global Privacy Control, or Do Not Track."""
    return headers.get(b"sec-gpc") == b"1" or headers.get(b"dnt") == b"1"


def event_of(sent: bytes, visit: Visit, now: datetime) -> WireEvent:
    """The event that this JSON text is, as the visit's. Raises InvalidEvent."""
    try:
        event = explain_new_event(sent, received_at=_ANY_TIME)
    except InvalidEvent as error:
        if error.field != "occurred_at":
            raise
        event = explain_new_event(_without_impossible_time(sent), received_at=_ANY_TIME)
    for field in _MADE_HERE:
        if getattr(event, field) is not None:
            raise InvalidEvent(
                "invalid_field",
                field,
                f"{field} is made by Weir for events of a site; leave it out",
            )
    event.occurred_at = _plausible(event.occurred_at, now)
    event.source = visit.source
    event.visitor_id = visit.visitor_id
    if visit.visitor_id is None:
        event.user_id = None
    metadata = _metadata(event.metadata, visit)
    if problem := metadata_problem(metadata):
        raise InvalidEvent(
            "invalid_field",
            "metadata",
            f"metadata {problem}; user agent, host and referrer are part of it",
        )
    event.metadata = Raw(metadata)
    return event


def event_or_why_not(sent: bytes, visit: Visit, now: datetime) -> WireEvent | InvalidEvent:
    try:
        return event_of(sent, visit, now)
    except InvalidEvent as error:
        return error


def stored_id(site_id: str, event_id: str) -> str:
    """The id under which the event of a site is stored: always the same one for the two.

    Of two events with one id in a partition the first counts. The ids of pages are thus never those
    of servers, or whoever loads a page and guesses an id could make a server's event disappear.
    """
    return str(uuid5(_NAMESPACE, f"{site_id}:{event_id}"))


def _without_impossible_time(sent: bytes) -> bytes:
    """A refused event without its `occurred_at`, if that is a time too early or late to be kept.

    Otherwise the same: between these years no time is refused, so it is none.
    """
    members = _decode_members(sent)
    text = _decode_any(members["occurred_at"])
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if found is None or _FIRST_YEAR < int(found[1]) < _LAST_YEAR:
        return sent
    del members["occurred_at"]
    return _encode(members)


def _plausible(occurred_at: str | None, now: datetime) -> str | None:
    """None for a time that only a wrong clock can say: then the arrival is taken.

    Programs are told so, visitors would never know that they are not counted.
    """
    earliest, latest = (canonical_time(now + skew) for skew in (-MAX_CLOCK_SKEW, MAX_CLOCK_SKEW))
    return occurred_at if occurred_at and earliest <= occurred_at <= latest else None


def _metadata(sent: Raw, visit: Visit) -> bytes:
    """What was sent, byte for byte, with what the sink reads of user agent, host and referrer."""
    members: dict[str, object] = {**_decode_members(sent)}
    referrer = members.pop("referrer", None)
    # Of browser and host a page says only what its request says, and nothing of whom Stripe bills.
    for name in ("user_agent", CUSTOMER):
        members.pop(name, None)
    # Meters pass such events over (streams/billing/metering.py): anybody can send them.
    members[SITE] = visit.site_id
    if agent := _text(visit.user_agent)[:MAX_USER_AGENT_CHARACTERS]:
        members["user_agent"] = agent
    members["host"] = visit.host
    if visit.visitor_id is not None and isinstance(referrer, Raw):
        url = _decode_any(referrer)
        if isinstance(url, str) and (page := without_query(url)[:MAX_REFERRER_CHARACTERS]):
            members["referrer"] = page
    return _encode(members)


def without_query(url: str) -> str:
    """The URL without query, fragment, and the name and password that it may carry."""
    url = url.partition("?")[0].partition("#")[0]
    if "@" not in url:
        return url
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def _text(value: bytes) -> str:
    """A header as text: UTF-8 where it is that, else each byte a character."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
