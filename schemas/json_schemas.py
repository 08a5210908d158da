"""The JSON Schemas that are published, made from the models that decide."""

from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from schemas.api_keys import ApiKeyUse
from schemas.billing import AnyUsageCommand, StripeCustomer, StripeEvent, UsageReport
from schemas.cloud_event_attributes import CloudEventAttributes, CloudEventData
from schemas.dead_letters import DeadLetter, DeadLetterAction
from schemas.events import Event, NewEvent
from schemas.generation import (
    GenerationJob,
    GenerationProgress,
    GenerationRequest,
    GenerationResult,
)
from schemas.heartbeats import Heartbeat
from schemas.key_messages import AnyKeyMessage
from schemas.message_examples import MESSAGE_EXAMPLES
from schemas.quotas import AnyQuotaCommand, QuotaDecision, QuotaThreshold
from schemas.replies import Reply
from schemas.topics import (
    API_KEY_USES,
    API_KEYS,
    DEAD_LETTER_ACTIONS,
    DEAD_LETTERS,
    EVENT_TOPICS,
    GENERATION_JOBS,
    GENERATION_PROGRESS,
    GENERATION_REQUESTS,
    GENERATION_RESULTS,
    HEARTBEATS,
    QUOTA_COMMANDS,
    QUOTA_DECISIONS,
    QUOTA_THRESHOLDS,
    REPLIES,
    STRIPE_CUSTOMERS,
    STRIPE_EVENTS,
    USAGE_COMMANDS,
    USAGE_REPORTS,
    Topic,
)

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

# Of all names of attributes that have no property of their own only `data` may be an object.
_EXTENSION_NAME: Final = "^(?!data$)[a-z0-9]+$"
# What pydantic's model of the attributes leaves to code, said to those who have only the schema.
_CLOUD_EVENT_RULES: Final[JsonDict] = {
    "patternProperties": {
        _EXTENSION_NAME: {
            "description": "An extension attribute; kept under `metadata.cloudevent`.",
            "type": ["string", "boolean", "integer", "null"],
            "minimum": -(2**31),
            "maximum": 2**31 - 1,
        }
    },
    "additionalProperties": False,
    "anyOf": [
        {"required": ["subject"], "properties": {"subject": {"type": "string"}}},
        {
            "required": ["data"],
            "properties": {
                "data": {
                    "type": "object",
                    "required": ["path"],
                    "properties": {"path": {"type": "string"}},
                }
            },
        },
        {"required": ["data_base64"]},
    ],
}


class CloudEventDocument(CloudEventAttributes):
    """A CloudEvent 1.0 in its JSON format, over HTTP or on Kafka (structured mode)."""

    # For the schema alone: its parts are what checks a CloudEvent (schemas.cloud_event_attributes).
    model_config = ConfigDict(title="CloudEvent", json_schema_extra=_CLOUD_EVENT_RULES)

    data: CloudEventData | None = None
    data_base64: Annotated[
        str | None, Field(description="Instead of `data`: its JSON text in base64.")
    ] = None


@dataclass(frozen=True, slots=True)
class PublishedSchema:
    """A schema by its name: what it describes, and the topics where that lies.

    Another `version` is another set of documents that it allows (schemas.published).
    """

    name: str
    model: type[BaseModel]
    describes: str
    topics: tuple[Topic, ...] = ()
    version: int = 1

    @property
    def path(self) -> str:
        """Where the API has the newest version."""
        return f"/schemas/{self.name}.json"

    @property
    def versions(self) -> range:
        """The numbers of all versions, the newest last."""
        return range(1, self.version + 1)

    def path_of(self, version: int) -> str:
        """Where the API has this version, which is also its `$id`: it holds at any address."""
        return f"/schemas/{self.name}.v{version}.json"

    def document(self) -> dict[str, object]:
        """The newest version as the model has it, a JSON document of draft 2020-12."""
        return {
            "$schema": DIALECT,
            "$id": self.path_of(self.version),
            **self.model.model_json_schema(),
            "description": self.describes,
            "examples": [*MESSAGE_EXAMPLES[self.name]],
        }


PUBLISHED: Final[dict[str, PublishedSchema]] = {
    schema.name: schema
    for schema in (
        PublishedSchema(
            "event", Event, "An event as it lies on Kafka; `event_id` is required.", EVENT_TOPICS
        ),
        PublishedSchema(
            "new-event", NewEvent, "An event as it is sent over HTTP; `event_id` is optional."
        ),
        PublishedSchema(
            "cloud-event",
            CloudEventDocument,
            "An event as a CloudEvent 1.0 in its JSON format, over HTTP or on Kafka.",
            EVENT_TOPICS,
        ),
        PublishedSchema(
            "dead-letter",
            DeadLetter,
            "A message that could not be used: where it lay, why, and all of it.",
            (DEAD_LETTERS,),
        ),
        PublishedSchema(
            "dead-letter-action",
            DeadLetterAction,
            "That a dead letter was replayed or discarded.",
            (DEAD_LETTER_ACTIONS,),
        ),
        PublishedSchema(
            "quota-command",
            AnyQuotaCommand,
            "What is asked of a user's account; `kind` tells the kinds apart.",
            (QUOTA_COMMANDS,),
        ),
        PublishedSchema(
            "quota-decision",
            QuotaDecision,
            "What became of a command, and the account after it.",
            (QUOTA_DECISIONS,),
        ),
        PublishedSchema(
            "quota-threshold",
            QuotaThreshold,
            "A user has used 80 % or 100 % of the limit: once a period and threshold.",
            (QUOTA_THRESHOLDS,),
        ),
        PublishedSchema(
            "reply",
            Reply,
            "An answer to the request of an API process: a decision, or a post's result.",
            (REPLIES,),
        ),
        PublishedSchema(
            "generation-request",
            GenerationRequest,
            "Asks for a social post; it is generated when the user's credits allow it.",
            (GENERATION_REQUESTS,),
        ),
        PublishedSchema(
            "generation-job",
            GenerationJob,
            "A social post whose credits are taken.",
            (GENERATION_JOBS,),
        ),
        PublishedSchema(
            "generation-progress",
            GenerationProgress,
            "A step on the way to a social post, for who watches; not kept.",
            (GENERATION_PROGRESS,),
        ),
        PublishedSchema(
            "generation-result",
            GenerationResult,
            "What became of a social post, once and for good.",
            (GENERATION_RESULTS,),
        ),
        PublishedSchema(
            "stripe-event",
            StripeEvent,
            "That something happened at Stripe: ids alone.",
            (STRIPE_EVENTS,),
        ),
        PublishedSchema(
            "usage-command",
            AnyUsageCommand,
            "What an event used of a meter, and what is asked of reports; `kind` tells which.",
            (USAGE_COMMANDS,),
        ),
        PublishedSchema(
            "usage-report",
            UsageReport,
            "What became of a report to Stripe; the highest `number` says how it stands.",
            (USAGE_REPORTS,),
        ),
        PublishedSchema(
            "stripe-customer",
            StripeCustomer,
            "A user as Stripe's customer, and the subscription that decides the plan.",
            (STRIPE_CUSTOMERS,),
        ),
        PublishedSchema(
            "api-key",
            AnyKeyMessage,
            "An API key as its hash, or a site; the last one of its id holds.",
            (API_KEYS,),
        ),
        PublishedSchema(
            "api-key-use",
            ApiKeyUse,
            "When a key or a site was used last, as one API process knows.",
            (API_KEY_USES,),
        ),
        PublishedSchema(
            "heartbeat",
            Heartbeat,
            "A sign of life of an API process, by which freshness is measured; no event.",
            (HEARTBEATS,),
        ),
    )
}
"""The schemas by name."""
