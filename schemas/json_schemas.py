"""The JSON Schemas that are published, made from the models that decide."""

from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from schemas.cloud_event_attributes import CloudEventAttributes, CloudEventData
from schemas.dead_letters import DeadLetter
from schemas.events import Event, NewEvent
from schemas.generation import GenerationJob, GenerationRequest, GenerationResult
from schemas.quotas import AnyQuotaCommand, QuotaDecision, QuotaThreshold
from schemas.topics import (
    CONVERSIONS,
    CUSTOM_EVENTS,
    DEAD_LETTERS,
    GENERATION_JOBS,
    GENERATION_REQUESTS,
    GENERATION_RESULTS,
    PAGE_VIEWS,
    QUOTA_COMMANDS,
    QUOTA_DECISIONS,
    QUOTA_THRESHOLDS,
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
    """A schema by its name: what it describes, and the topics where that lies."""

    name: str
    model: type[BaseModel]
    describes: str
    topics: tuple[Topic, ...] = ()

    @property
    def path(self) -> str:
        """Where the API has it, which is also its `$id`: it holds at whatever address."""
        return f"/schemas/{self.name}.json"

    def document(self) -> dict[str, object]:
        """The schema, a JSON document of draft 2020-12."""
        return {
            "$schema": DIALECT,
            "$id": self.path,
            **self.model.model_json_schema(),
            "description": self.describes,
        }


_EVENT_TOPICS: Final = (PAGE_VIEWS, CONVERSIONS, CUSTOM_EVENTS)

PUBLISHED: Final[dict[str, PublishedSchema]] = {
    schema.name: schema
    for schema in (
        PublishedSchema(
            "event", Event, "An event as it lies on Kafka; `event_id` is required.", _EVENT_TOPICS
        ),
        PublishedSchema(
            "new-event", NewEvent, "An event as it is sent over HTTP; `event_id` is optional."
        ),
        PublishedSchema(
            "cloud-event",
            CloudEventDocument,
            "An event as a CloudEvent 1.0 in its JSON format, over HTTP or on Kafka.",
            _EVENT_TOPICS,
        ),
        PublishedSchema(
            "dead-letter",
            DeadLetter,
            "A message that could not be used: where it lay, why, and all of it.",
            (DEAD_LETTERS,),
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
            "generation-result",
            GenerationResult,
            "What became of a social post, once and for good.",
            (GENERATION_RESULTS,),
        ),
    )
}
"""The schemas by name."""
