"""The topics that the billing worker needs."""

from typing import Final

from schemas.meters import Meters
from schemas.topics import (
    DEAD_LETTERS,
    QUOTA_COMMANDS,
    STRIPE_CUSTOMERS,
    STRIPE_EVENTS,
    USAGE_COMMANDS,
    USAGE_LEDGER,
    USAGE_REPORTS,
    Topic,
    topic_for,
)

NEEDED: Final[tuple[Topic, ...]] = (
    STRIPE_EVENTS,
    USAGE_COMMANDS,
    USAGE_LEDGER,
    USAGE_REPORTS,
    STRIPE_CUSTOMERS,
    QUOTA_COMMANDS,
    DEAD_LETTERS,
)


def metered(meters: Meters) -> tuple[Topic, ...]:
    """The topics on which events lie that count for a meter."""
    topics = {topic_for(each.event_type).name: each for each in meters.meters.values()}
    return tuple(topic_for(each.event_type) for each in topics.values())
