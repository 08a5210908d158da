"""What a dead letter is by today's contract: a message for the topic where it belongs."""

from datetime import UTC, datetime
from uuid import UUID

from api.analytics import cloud_events
from api.dead_letters.letters import StoredLetter
from api.publishing import Message
from schemas.cloud_events import CloudEvent
from schemas.decoding import InvalidEvent, WireEvent, canonical_time, encode_wire_event
from schemas.messages import read_message
from schemas.topics import event_key, topic_for


def replayed(letter: StoredLetter, now: datetime) -> tuple[UUID, Message]:
    """The event's id, and its message: topic and key are those of the event, computed anew.

    Pure: the same letter always becomes the same event, so it counts once however often it is
    replayed. It keeps its own `event_id`; one that lacks it gets the letter's id. One that does
    not say when it occurred occurred when it arrived, not now. `now` bounds `occurred_at`.

    Raises InvalidEvent with today's reason, which is `truncated` where only part of the message
    is kept: what is cut off may be what made it invalid, or say which event it is.
    """
    if letter.truncated:
        raise InvalidEvent(
            "truncated",
            "",
            "only part of it is kept; the message lies at "
            f"{letter.topic}/{letter.partition}/{letter.offset} for as long as its topic keeps it: "
            "read it there, and send the event again",
        )
    sent = read_message(letter.header_bytes(), letter.content(), received_at=now, nameless=True)
    event = sent.event if isinstance(sent, CloudEvent) else sent
    event_id = event.event_id or str(letter.dead_letter_id)
    event.event_id = event_id
    event.occurred_at = event.occurred_at or canonical_time(
        datetime.fromtimestamp(letter.arrived_ms / 1000, UTC)
    )
    return UUID(event_id), _message(sent, event, event_id)


def _message(sent: WireEvent | CloudEvent, event: WireEvent, event_id: str) -> Message:
    topic = topic_for(event.event_type)
    if isinstance(sent, CloudEvent):
        return cloud_events.message(sent, topic)
    key = event_key(topic, event_id, event.user_id)
    return Message(topic.name, key.encode(), encode_wire_event(event))
