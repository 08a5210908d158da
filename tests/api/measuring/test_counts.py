"""What the edge refuses, or cannot hand on, is counted where that is decided."""

import pytest

from api.identity.rate_limits import RateLimits
from api.problems import Problem
from api.publishing import KafkaPublisher, KafkaUnavailable, Message
from schemas.metrics.edge import PUBLISH_FAILURES, RATE_LIMITED, UNCONFIRMED, UNCONFIRMED_LIMIT
from schemas.servers import KafkaSettings
from tests.scrapes import shown_here


async def test_what_cannot_be_published_is_counted_by_why() -> None:
    publisher = KafkaPublisher(KafkaSettings(), timeout=1, max_bytes=1 << 22)
    before = shown_here("api")
    with pytest.raises(KafkaUnavailable):
        await publisher.publish([Message("page-views", b"key", b"value")])
    after = shown_here("api")
    assert after.value(PUBLISH_FAILURES, reason="away") == 1 + before.value(
        PUBLISH_FAILURES, reason="away"
    )
    assert after.value(UNCONFIRMED) == 0
    assert after.value(UNCONFIRMED_LIMIT) == 1 << 22


def test_requests_beyond_a_limit_are_counted_by_whose_it_is() -> None:
    limits = RateLimits(user="2/minute", key="1/minute")
    before = shown_here("api")
    limits.hit("user", "somebody")
    limits.hit("user", "somebody")
    limits.hit("key", "somebody's")
    for policy in ("user", "key", "key"):
        with pytest.raises(Problem, match="too many requests"):
            limits.hit(policy, "somebody" if policy == "user" else "somebody's")
    after = shown_here("api")
    assert after.value(RATE_LIMITED, policy="user") == 1 + before.value(RATE_LIMITED, policy="user")
    assert after.value(RATE_LIMITED, policy="key") == 2 + before.value(RATE_LIMITED, policy="key")
