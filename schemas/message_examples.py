"""An example of each message, by the name of its published schema."""

from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

_USER: Final = "u-42"
_CUSTOMER: Final = "cus_Q5XG0aBcDeFgHi"
_POST: Final = "019ab0c2-7f00-7d10-8a00-5b6c7d8e9f01"
_SPEND: Final = "019ab0c2-7f00-7c3e-8f00-2a1b3c4d5e6f"
_REPORT: Final = "5f0c7c1e-64a5-5c2b-9a53-3d0f5b8c9d21"
_EVENT: Final = "019ab0c2-7f00-7a2b-8c00-1f2e3d4c5b6a"
_LETTER: Final = "019ab0c2-7f00-5c3e-8f00-2a1b3c4d5e6f"
_NOW: Final = "2026-11-24T09:30:00Z"
_PERIOD: Final = {
    "period_start": "2026-11-01T00:00:00Z",
    "resets_at": "2026-12-01T00:00:00Z",
}
_PICTURE: Final[Mapping[str, JsonValue]] = {
    "key": "0c50458f3e6b2a91d7c4e8f05a6b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d6e7.png",
    "width": 1536,
    "height": 1024,
}
_CAPTION: Final = "Good news, friends: our new espresso blend is here."
_DECISION: Final[dict[str, JsonValue]] = {
    "decision_id": "3cbc2ac4-2dd6-5e37-a8f5-1d7d4a6f0c9e",
    "command_id": _SPEND,
    "user_id": _USER,
    "kind": "spend",
    "applied": True,
    "reason": "report rendered",
    "count": 3,
    "change": 3,
    "number": 1,
    "plan": "free",
    "plans_version": 1,
    "limit": 100,
    "quota_used": 3,
    "remaining": 97,
    **_PERIOD,
    "period_number": 1,
    "decided_at": _NOW,
}

MESSAGE_EXAMPLES: Final[Mapping[str, tuple[dict[str, JsonValue], ...]]] = {
    "event": (
        {
            "event_id": _EVENT,
            "event_type": "page_view",
            "path": "/pricing",
            "visitor_id": "v-7f3a",
            "occurred_at": _NOW,
            "source": "web",
            "metadata": {"referrer": "https://example.com/", "country": "DE"},
        },
    ),
    "new-event": ({"event_type": "page_view", "path": "/pricing", "visitor_id": "v-7f3a"},),
    "cloud-event": (
        {
            "specversion": "1.0",
            "id": "A234-1234",
            "source": "/shop",
            "type": "conversion",
            "subject": "/signup",
            "time": _NOW,
            "data": {"user_id": _USER, "metadata": {"plan": "team"}},
        },
    ),
    "dead-letter": (
        {
            "dead_letter_id": _LETTER,
            "topic": "page-views",
            "partition": 2,
            "offset": 4711,
            "arrived_at": 1_795_512_600_000,
            "reason": "invalid_field",
            "detail": "path is required",
            "key": "v-7f3a",
            "payload": '{"event_type": "page_view"}',
            "headers": [["content-type", "application/json"]],
            "encoding": "utf-8",
            "truncated": False,
        },
    ),
    "dead-letter-action": (
        {
            "action_id": "7b0d6a52-1f3c-5d4e-8a9b-0c1d2e3f4a5b",
            "dead_letter_id": _LETTER,
            "action": "replayed",
            "event_id": _EVENT,
            "at": _NOW,
        },
    ),
    "quota-command": (
        {
            "kind": "spend",
            "command_id": _SPEND,
            "user_id": _USER,
            "issued_at": _NOW,
            "reason": "report rendered",
            "count": 3,
        },
        {
            "kind": "refund",
            "command_id": "019ab0c2-7f00-7e4f-8b00-6f7a8b9c0d1e",
            "user_id": _USER,
            "issued_at": _NOW,
            "reason": "the report was empty",
            "spend_id": _SPEND,
        },
    ),
    "quota-decision": (_DECISION,),
    "quota-threshold": (
        {
            "event_id": "9d4b3a21-0f1e-5d2c-8b3a-4c5d6e7f8091",
            "user_id": _USER,
            "threshold": 80,
            "plan": "free",
            "limit": 100,
            "quota_used": 80,
            **_PERIOD,
            "occurred_at": _NOW,
        },
    ),
    "reply": ({"request_id": "0f8fad5b-d9cb-469f-a165-70867728950e", "decision": _DECISION},),
    "generation-request": (
        {
            "post_id": _POST,
            "user_id": _USER,
            "issued_at": _NOW,
            "prompt": "Our new espresso blend is here",
            "platform": "x",
        },
    ),
    "generation-job": (
        {
            "post_id": _POST,
            "user_id": _USER,
            "requested_at": _NOW,
            "prompt": "Our new espresso blend is here",
            "platform": "x",
        },
    ),
    "generation-progress": (
        {"post_id": _POST, "user_id": _USER, "variant": 1, "caption": _CAPTION, "at": _NOW},
    ),
    "generation-result": (
        {
            "post_id": _POST,
            "user_id": _USER,
            "state": "done",
            "variants": [{"number": 1, "caption": _CAPTION, "picture": dict(_PICTURE)}],
            "credits_charged": 1,
            "stub": True,
            "requested_at": _NOW,
            "finished_at": "2026-11-24T09:30:02Z",
        },
    ),
    "stripe-event": (
        {
            "event_id": "evt_1Q5XG0aBcDeFgHi",
            "type": "customer.subscription.updated",
            "created": _NOW,
            "customer_id": _CUSTOMER,
        },
    ),
    "usage-command": (
        {
            "kind": "usage",
            "report_id": _REPORT,
            "event_id": _EVENT,
            "meter": "conversions",
            "value": 1,
            "occurred_at": _NOW,
            "user_id": _USER,
        },
    ),
    "usage-report": (
        {
            "change_id": "2a8f4c1d-7b6e-5a3c-9d8e-1f0a2b3c4d5e",
            "number": 4,
            "report_id": _REPORT,
            "event_id": _EVENT,
            "meter": "conversions",
            "value": 1,
            "occurred_at": _NOW,
            "user_id": _USER,
            "customer_id": _CUSTOMER,
            "state": "sent",
            "at": "2026-11-24T09:30:01Z",
        },
    ),
    "stripe-customer": (
        {
            "change_id": "6c5b4a39-2817-5f6e-8d4c-3b2a19080f7e",
            "user_id": _USER,
            "customer_id": _CUSTOMER,
            "plan": "pro",
            "subscription_id": "sub_1Q5XG0aBcDeFgHi",
            "status": "active",
            "period_start": "2026-11-12T08:00:00Z",
            "period_end": "2026-12-12T08:00:00Z",
            "at": _NOW,
        },
    ),
    "api-key": (
        {
            "key_id": "key_0123456789abcdef",
            "kind": "write",
            "name": "shop",
            "secret_hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "created_at": _NOW,
        },
        {
            "site_id": "site_abcdefghijklmnop",
            "kind": "site",
            "name": "shop",
            "origins": ["https://shop.example"],
            "created_at": _NOW,
        },
    ),
    "api-key-use": ({"key_id": "key_0123456789abcdef", "last_used_at": _NOW},),
    "heartbeat": (
        {
            "heartbeat_id": "019ab0c2-7f00-7e40-8b00-6c7d8e9f0a12",
            "process_id": "019ab0c2-7f00-7f51-8c00-7d8e9f0a1b23",
            "number": 1,
            "sent_at": _NOW,
        },
    ),
}
