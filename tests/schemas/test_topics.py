"""The topic registry is complete and fits itself."""

import pytest

from schemas.topics import (
    CONVERSIONS,
    CUSTOM_EVENTS,
    DEAD_LETTERS,
    EVENT_TOPICS,
    PAGE_VIEWS,
    TOPICS,
    Topic,
    event_key,
    topic_for,
)


def test_names_are_unique() -> None:
    assert len({topic.name for topic in TOPICS}) == len(TOPICS)


@pytest.mark.parametrize("topic", EVENT_TOPICS, ids=lambda topic: topic.name)
def test_every_event_topic_has_a_dead_letter_partner_in_the_registry(topic: Topic) -> None:
    assert topic.dead_letters == DEAD_LETTERS.name
    assert DEAD_LETTERS in TOPICS


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_whoever_reads_what_may_become_a_dead_letter_writes_dead_letters(topic: Topic) -> None:
    assert topic.dead_letters in {None, DEAD_LETTERS.name}
    if topic.dead_letters:
        # The API only shows what a worker judges.
        readers = set(topic.read_by) - {"producers", "api"}
        assert readers <= set(DEAD_LETTERS.written_by)


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_the_broker_stamps_the_arrival(topic: Topic) -> None:
    assert topic.configuration()["message.timestamp.type"] == "LogAppendTime"


def test_event_types_decide_the_topic() -> None:
    assert topic_for("page_view") is PAGE_VIEWS
    assert topic_for("conversion") is CONVERSIONS
    assert topic_for("anything_else") is CUSTOM_EVENTS


def test_conversions_are_keyed_by_user_and_others_by_event() -> None:
    assert event_key(CONVERSIONS, "id", "user") == "user"
    assert event_key(CONVERSIONS, "id", None) == "id"
    assert event_key(PAGE_VIEWS, "id", "user") == "id"


def test_a_dead_letter_topic_has_room_for_the_largest_message_as_base64() -> None:
    largest = max(topic.max_message_bytes for topic in EVENT_TOPICS)
    assert DEAD_LETTERS.max_message_bytes > largest * 4 / 3 + 4096
