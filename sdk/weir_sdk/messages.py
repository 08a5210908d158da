"""An event on its way: made from what the caller says, within the contract's bounds."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID

import orjson

from weir_sdk.errors import EventRejected
from weir_sdk.event_ids import new_event_id
from weir_sdk.limits import (
    EVENT_TYPE_PATTERN,
    MAX_EVENT_TYPE_CHARACTERS,
    MAX_METADATA_BYTES,
    MAX_METADATA_DEPTH,
    MAX_NAME_CHARACTERS,
    MAX_PATH_CHARACTERS,
)

_EVENT_TYPE: Final = re.compile(EVENT_TYPE_PATTERN)
_MILLISECONDS: Final = 1_000


class Message(NamedTuple):
    """One event: what a transport needs to know of it, and the event itself as JSON."""

    event_id: str
    event_type: str
    user_id: str | None
    body: bytes


def canonical_time(moment: datetime) -> str:
    """`YYYY-MM-DDTHH:MM:SS.mmmZ` in UTC."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


class MessageMaker:
    """Makes messages from what callers of the client say; safe to use from several threads."""

    def __init__(self, source: str | None) -> None:
        self._source = source

    def make(
        self,
        event_type: str,
        path: str,
        *,
        now: datetime,
        user_id: str | None,
        visitor_id: str | None,
        metadata: Mapping[str, object] | None,
        occurred_at: datetime | None,
        event_id: str | UUID | None,
        source: str | None,
    ) -> Message:
        """The message. Raises EventRejected for what Weir would not take; TypeError for the rest.

        Metadata is written down at once, so that it may change afterwards.
        """
        named = _named(event_id, now)
        event: dict[str, object] = {
            "event_type": event_type,
            "path": path,
            "event_id": named,
            "occurred_at": canonical_time(_with_zone(occurred_at or now, named)),
        }
        for name, value in (
            ("user_id", user_id),
            ("visitor_id", visitor_id),
            ("source", source or self._source),
        ):
            if value is not None:
                event[name] = value
                _check_text(name, value, MAX_NAME_CHARACTERS, named)
        _check_text("event_type", event_type, MAX_EVENT_TYPE_CHARACTERS, named)
        _check_text("path", path, MAX_PATH_CHARACTERS, named)
        if _EVENT_TYPE.fullmatch(event_type) is None:
            raise EventRejected(
                field="event_type",
                detail="start with a letter, then letters, digits and _ . : / -",
                event_id=named,
            )
        if metadata:
            event["metadata"] = orjson.Fragment(_written(metadata, named))
        return Message(named, event_type, user_id, orjson.dumps(event))


def _named(event_id: str | UUID | None, now: datetime) -> str:
    if event_id is None:
        return new_event_id(int(now.timestamp() * _MILLISECONDS))
    try:
        return str(event_id if isinstance(event_id, UUID) else UUID(event_id))
    except ValueError:
        raise EventRejected(
            field="event_id", detail="must be a UUID", event_id=str(event_id)
        ) from None


def _with_zone(moment: datetime, event_id: str) -> datetime:
    if moment.tzinfo is None:
        raise EventRejected(
            field="occurred_at",
            detail="needs a time zone; use datetime.now(UTC)",
            event_id=event_id,
        )
    return moment


def _check_text(field: str, value: object, limit: int, event_id: str) -> None:
    if not isinstance(value, str):
        detail = f"must be text, not {type(value).__name__}"
    elif not 1 <= len(value) <= limit:
        detail = f"must have 1 to {limit} characters, not {len(value)}"
    elif not _is_unicode(value):
        detail = "has a lone surrogate, which is not a character"
    else:
        return
    raise EventRejected(field=field, detail=detail, event_id=event_id)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _written(metadata: Mapping[str, object], event_id: str) -> bytes:
    try:
        written = orjson.dumps(dict(metadata))
    except orjson.JSONEncodeError as error:
        detail = f"cannot be written as JSON: {error}"
    else:
        if len(written) > MAX_METADATA_BYTES:
            detail = f"is {len(written)} bytes as JSON; keep it to {MAX_METADATA_BYTES}"
        elif _depth(metadata) > MAX_METADATA_DEPTH:
            detail = f"is nested more than {MAX_METADATA_DEPTH} deep"
        else:
            return written
    raise EventRejected(field="metadata", detail=detail, event_id=event_id)


def _depth(value: object) -> int:
    """How deep objects and arrays are nested; orjson has seen that there is an end to it."""
    if isinstance(value, Mapping):
        return 1 + max((_depth(each) for each in value.values()), default=0)
    if isinstance(value, list | tuple):
        return 1 + max((_depth(each) for each in value), default=0)
    return 0
