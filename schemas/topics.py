"""The topic registry: every topic stands here once, and is created from here."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

from pydantic import BaseModel

from schemas.api_keys import ApiKeyUse
from schemas.billing import AnyUsageCommand, StripeCustomer, StripeEvent, UsageReport
from schemas.dead_letters import DeadLetter, DeadLetterAction
from schemas.events import Event
from schemas.generation import (
    GenerationJob,
    GenerationProgress,
    GenerationRequest,
    GenerationResult,
)
from schemas.heartbeats import Heartbeat
from schemas.key_messages import AnyKeyMessage
from schemas.quotas import AnyQuotaCommand, QuotaDecision, QuotaThreshold
from schemas.replies import Reply
from schemas.servers import KafkaSettings

Process = Literal["api", "sink", "quotas", "social", "billing", "producers", "cli"]

DAY_MS: Final = 86_400_000
MIB: Final = 1_048_576


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `key` says in words what the message key is; sizes in bytes, times in ms.

    `partitions`: unless the settings say otherwise, which they may of events and of what is keyed
    by user or customer.

    Without a model it is a worker's own, which nobody else reads.
    """

    name: str
    key: str
    model: type[BaseModel] | None
    partitions: int
    retention_ms: int
    max_message_bytes: int
    written_by: tuple[Process, ...]
    read_by: tuple[Process, ...]
    dead_letters: str | None
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def keyed_by_user(self) -> bool:
        """Whether its messages of one user or customer lie on the partition of one number."""
        return self.key.startswith(("user_id", "customer_id"))

    def partitions_by(self, settings: KafkaSettings) -> int:
        """How many partitions it has by the settings."""
        if self.keyed_by_user:
            return settings.user_partitions
        return settings.event_partitions if self.model is Event else self.partitions

    def configuration(self) -> dict[str, str]:
        """The topic's settings as Kafka takes them.

        The broker stamps the arrival (LogAppendTime): rows carry it, the deduplication window
        is measured by it, and no producer's clock can move it.
        """
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_ms),
            "max.message.bytes": str(self.max_message_bytes),
            "message.timestamp.type": "LogAppendTime",
            **self.settings,
        }


DEAD_LETTERS: Final = Topic(
    name="dead-letters",
    key="dead_letter_id",
    model=DeadLetter,
    partitions=1,
    retention_ms=30 * DAY_MS,
    # A message of 1 MiB that is not text grows by a third, and its envelope by a little.
    max_message_bytes=2 * MIB,
    written_by=("sink", "quotas", "social", "billing"),
    read_by=("sink",),
    dead_letters=None,
)

DEAD_LETTER_ACTIONS: Final = Topic(
    name="dead-letter-actions",
    key="dead_letter_id",
    model=DeadLetterAction,
    partitions=1,
    retention_ms=30 * DAY_MS,
    max_message_bytes=MIB,
    written_by=("api",),
    read_by=("sink",),
    dead_letters=DEAD_LETTERS.name,
)


PAGE_VIEWS: Final = Topic(
    name="page-views",
    key="event_id",
    model=Event,
    partitions=4,
    retention_ms=7 * DAY_MS,
    max_message_bytes=MIB,
    written_by=("api", "producers"),
    read_by=("sink",),
    dead_letters=DEAD_LETTERS.name,
)

CONVERSIONS: Final = Topic(
    name="conversions",
    key="user_id, or event_id when nobody is named",
    model=Event,
    partitions=4,
    # Stripe takes events up to 35 days back: what bills is kept as long.
    retention_ms=35 * DAY_MS,
    max_message_bytes=MIB,
    written_by=("api", "producers"),
    read_by=("sink", "billing"),
    dead_letters=DEAD_LETTERS.name,
)

CUSTOM_EVENTS: Final = Topic(
    name="custom-events",
    key="event_id",
    model=Event,
    partitions=4,
    retention_ms=7 * DAY_MS,
    max_message_bytes=MIB,
    written_by=("api", "producers"),
    read_by=("sink",),
    dead_letters=DEAD_LETTERS.name,
)

USER_PARTITIONS: Final = 4
"""Of every topic that is keyed by `user_id`, so that a user's messages meet one worker."""

QUOTA_COMMANDS: Final = Topic(
    name="quota-commands",
    key="user_id",
    model=AnyQuotaCommand,
    partitions=USER_PARTITIONS,
    retention_ms=7 * DAY_MS,
    max_message_bytes=MIB,
    written_by=("api", "social", "billing", "producers", "cli"),
    read_by=("quotas",),
    dead_letters=DEAD_LETTERS.name,
)

QUOTA_DECISIONS: Final = Topic(
    name="quota-decisions",
    key="user_id",
    model=QuotaDecision,
    partitions=USER_PARTITIONS,
    # The ledger in ClickHouse is for ever; a sink that was away for a month misses nothing.
    retention_ms=35 * DAY_MS,
    max_message_bytes=MIB,
    written_by=("quotas",),
    read_by=("sink", "producers"),
    dead_letters=DEAD_LETTERS.name,
)

QUOTA_THRESHOLDS: Final = Topic(
    name="quota-thresholds",
    key="user_id",
    model=QuotaThreshold,
    partitions=USER_PARTITIONS,
    retention_ms=35 * DAY_MS,
    max_message_bytes=MIB,
    written_by=("quotas",),
    read_by=("producers",),
    dead_letters=None,
)

QUOTA_ACCOUNTS: Final = Topic(
    name="quota-accounts",
    key="user_id, or user_id and command_id",
    model=None,
    partitions=USER_PARTITIONS,
    retention_ms=-1,
    max_message_bytes=MIB,
    written_by=("quotas",),
    read_by=("quotas",),
    dead_letters=None,
    settings={
        "cleanup.policy": "compact",
        # A worker that was frozen may write old values when it wakes up: until they are compacted
        # the newer one is there too, and a reader takes the newer.
        "min.compaction.lag.ms": str(DAY_MS),
        "min.cleanable.dirty.ratio": "0.1",
        "segment.ms": str(DAY_MS),
        # What is deleted is gone by then, however little is written.
        "max.compaction.lag.ms": str(7 * DAY_MS),
    },
)

REPLIES: Final = Topic(
    name="replies",
    key="request_id",
    model=Reply,
    # An edge process reads one of them; several may share one.
    partitions=8,
    retention_ms=DAY_MS // 24,
    max_message_bytes=MIB,
    written_by=("quotas", "social"),
    read_by=("api",),
    dead_letters=None,
)

GENERATION_REQUESTS: Final = Topic(
    name="generation-requests",
    key="user_id",
    model=GenerationRequest,
    partitions=USER_PARTITIONS,
    retention_ms=7 * DAY_MS,
    max_message_bytes=MIB,
    written_by=("api", "producers"),
    read_by=("social",),
    dead_letters=DEAD_LETTERS.name,
)

GENERATION_JOBS: Final = Topic(
    name="generation-jobs",
    key="user_id",
    model=GenerationJob,
    partitions=USER_PARTITIONS,
    # The history in ClickHouse is made of them; a sink that was away for a month misses nothing.
    retention_ms=35 * DAY_MS,
    max_message_bytes=MIB,
    written_by=("quotas",),
    read_by=("social", "sink", "api"),
    dead_letters=DEAD_LETTERS.name,
)

GENERATION_PROGRESS: Final = Topic(
    name="generation-progress",
    key="user_id",
    model=GenerationProgress,
    partitions=USER_PARTITIONS,
    # What happens now; what came of it is in the results.
    retention_ms=DAY_MS // 24,
    max_message_bytes=MIB,
    written_by=("social",),
    read_by=("api",),
    dead_letters=None,
)

GENERATION_RESULTS: Final = Topic(
    name="generation-results",
    key="user_id",
    model=GenerationResult,
    partitions=USER_PARTITIONS,
    retention_ms=35 * DAY_MS,
    max_message_bytes=MIB,
    written_by=("social", "quotas"),
    read_by=("sink", "api", "producers"),
    dead_letters=DEAD_LETTERS.name,
)

STRIPE_EVENTS: Final = Topic(
    name="stripe-events",
    key="customer_id, or event_id when no customer is named",
    model=StripeEvent,
    partitions=USER_PARTITIONS,
    retention_ms=35 * DAY_MS,
    max_message_bytes=MIB,
    written_by=("api",),
    read_by=("billing",),
    dead_letters=DEAD_LETTERS.name,
)

USAGE_COMMANDS: Final = Topic(
    name="usage-commands",
    key="customer_id, or user_id while no customer is known",
    model=AnyUsageCommand,
    partitions=USER_PARTITIONS,
    # As long as Stripe takes what is reported.
    retention_ms=35 * DAY_MS,
    max_message_bytes=MIB,
    written_by=("billing", "cli"),
    read_by=("billing",),
    dead_letters=DEAD_LETTERS.name,
)

USAGE_REPORTS: Final = Topic(
    name="usage-reports",
    key="customer_id, or user_id while no customer is known",
    model=UsageReport,
    partitions=USER_PARTITIONS,
    retention_ms=35 * DAY_MS,
    max_message_bytes=MIB,
    written_by=("billing",),
    read_by=("sink", "producers"),
    dead_letters=DEAD_LETTERS.name,
)

USAGE_LEDGER: Final = Topic(
    name="usage-ledger",
    key="customer_id or user_id, and what is kept of it",
    model=None,
    partitions=USER_PARTITIONS,
    retention_ms=-1,
    max_message_bytes=MIB,
    written_by=("billing",),
    read_by=("billing",),
    dead_letters=None,
    settings={
        "cleanup.policy": "compact",
        # As of quota-accounts.
        "min.compaction.lag.ms": str(DAY_MS),
        "min.cleanable.dirty.ratio": "0.1",
        "segment.ms": str(DAY_MS),
        "max.compaction.lag.ms": str(7 * DAY_MS),
    },
)

STRIPE_CUSTOMERS: Final = Topic(
    name="stripe-customers",
    key="user_id",
    model=StripeCustomer,
    partitions=USER_PARTITIONS,
    retention_ms=35 * DAY_MS,
    max_message_bytes=MIB,
    written_by=("billing", "api"),
    read_by=("sink",),
    dead_letters=DEAD_LETTERS.name,
)

API_KEYS: Final = Topic(
    name="api-keys",
    key="key_id, or site_id of a website",
    model=AnyKeyMessage,
    partitions=1,
    retention_ms=-1,
    max_message_bytes=MIB,
    written_by=("cli",),
    read_by=("api", "cli"),
    dead_letters=None,
    settings={"cleanup.policy": "compact", "segment.ms": str(DAY_MS)},
)

API_KEY_USES: Final = Topic(
    name="api-key-uses",
    key="key_id, or site_id of a website",
    model=ApiKeyUse,
    partitions=1,
    retention_ms=-1,
    max_message_bytes=MIB,
    written_by=("api",),
    read_by=("cli",),
    dead_letters=None,
    # A message a minute for each key in use: compacted often, so that they are read in no time.
    settings={
        "cleanup.policy": "compact",
        "segment.ms": str(DAY_MS // 24),
        "segment.bytes": str(4 * MIB),
    },
)

HEARTBEATS: Final = Topic(
    name="heartbeats",
    key="process_id",
    model=Heartbeat,
    partitions=1,
    retention_ms=DAY_MS // 24,
    max_message_bytes=MIB,
    written_by=("api",),
    read_by=("sink",),
    dead_letters=DEAD_LETTERS.name,
)

TOPICS: Final[tuple[Topic, ...]] = (
    PAGE_VIEWS,
    CONVERSIONS,
    CUSTOM_EVENTS,
    DEAD_LETTERS,
    DEAD_LETTER_ACTIONS,
    QUOTA_COMMANDS,
    QUOTA_DECISIONS,
    QUOTA_THRESHOLDS,
    QUOTA_ACCOUNTS,
    REPLIES,
    GENERATION_REQUESTS,
    GENERATION_JOBS,
    GENERATION_PROGRESS,
    GENERATION_RESULTS,
    STRIPE_EVENTS,
    USAGE_COMMANDS,
    USAGE_REPORTS,
    USAGE_LEDGER,
    STRIPE_CUSTOMERS,
    API_KEYS,
    API_KEY_USES,
    HEARTBEATS,
)
EVENT_TOPICS: Final[tuple[Topic, ...]] = (PAGE_VIEWS, CONVERSIONS, CUSTOM_EVENTS)

_BY_EVENT_TYPE: Final = {"page_view": PAGE_VIEWS, "conversion": CONVERSIONS}


def topic_for(event_type: str) -> Topic:
    """The topic that events of this type lie on."""
    return _BY_EVENT_TYPE.get(event_type, CUSTOM_EVENTS)


@lru_cache(maxsize=256)
def registered_name(topic: str) -> str:
    """The name in the registry of a topic on the cluster, whatever prefix it has; else itself."""
    names = [each.name for each in TOPICS if topic.endswith(each.name)]
    return max(names, key=len, default=topic)


def event_key(topic: Topic, event_id: str, user_id: str | None) -> str:
    """The message key of an event, so that a copy meets the same partition as the first.

    Conversions are keyed by user, since what bills a user must be in order; all others by
    `event_id`, which spreads evenly.
    """
    if topic is CONVERSIONS and user_id is not None:
        return user_id
    return event_id
