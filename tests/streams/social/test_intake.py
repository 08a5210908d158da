"""What a dead letter says about a message that is no request for a post."""

import json
from dataclasses import dataclass

import pytest

from streams.failures import Invalid
from streams.records import Headers
from streams.social.intake import read_request
from tests.schemas.bad_posts import BAD_POSTS

MOMENT = "2026-11-24T09:30:00Z"
REQUEST = {
    "post_id": "019ab0c2-7f00-7c3e-8f00-2a1b3c4d5e6f",
    "user_id": "alice",
    "issued_at": MOMENT,
    "prompt": "Our new espresso blend is here",
}


@dataclass(frozen=True)
class Message:
    value: bytes
    key: bytes = b"alice"
    offset: int = 0
    timestamp: int = 0
    headers: Headers = ()


def why(value: bytes) -> tuple[str, str]:
    with pytest.raises(Invalid) as invalid:
        read_request(Message(value), 0, 1)
    return invalid.value.reason, invalid.value.detail


@pytest.mark.parametrize(("wrong", "detail"), BAD_POSTS)
def test_a_dead_letter_says_what_a_post_takes(wrong: dict[str, object], detail: str) -> None:
    assert why(json.dumps({**REQUEST, **wrong}).encode()) == ("invalid_field", detail)


@pytest.mark.parametrize(
    ("wrong", "detail"),
    [
        ({"size": 3}, "size is not a field of this message"),
        ({"user_id": ""}, "user_id must not be empty"),
        ({"user_id": "a\nb"}, "user_id must hold no control characters"),
        ({"post_id": "7"}, "post_id must be a UUID, such as 019ab0c2-7f00-7c3e-8f00-2a1b3c4d5e6f"),
        (
            {"issued_at": 7},
            f"issued_at must be a date and time with a zone, such as {MOMENT} (RFC 3339)",
        ),
        (
            {"issued_at": "1960-01-01T00:00:00Z"},
            "issued_at is before 1970; send the time when it happened",
        ),
        (
            {"issued_at": "2106-01-01T00:00:00Z"},
            "issued_at is 2106 or later; send the time when it was asked for",
        ),
        (
            {"issued_at": "2200-01-01T00:00:00Z"},
            "issued_at is 2106 or later; send the time when it was asked for",
        ),
    ],
)
def test_a_dead_letter_says_what_the_rest_of_the_message_takes(
    wrong: dict[str, object], detail: str
) -> None:
    assert why(json.dumps({**REQUEST, **wrong}).encode()) == ("invalid_field", detail)


@pytest.mark.parametrize("value", [b"[]", b"null", b"7"])
def test_what_is_no_object_is_not_told_about_events(value: bytes) -> None:
    assert why(value) == ("invalid_field", "the message must be a JSON object")


def test_what_is_not_json_is_said_to_be_so() -> None:
    assert why(b"") == ("not_json", "the message is not JSON")
