"""The AsyncAPI 3 document: who sends and reads what on Kafka, made from the topic registry."""

from collections.abc import Iterator
from typing import Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from schemas.cloud_event_attributes import CloudEventData
from schemas.cloud_events import MEDIA_TYPE
from schemas.events import EVENT_TYPE_PATTERN
from schemas.json_schemas import PUBLISHED, PublishedSchema
from schemas.message_examples import MESSAGE_EXAMPLES
from schemas.replies import REPLY_PARTITION_HEADER, REQUEST_ID_HEADER
from schemas.topics import EVENT_TOPICS, REPLIES, TOPICS, Process, Topic

ASYNC_API: Final = "3.1.0"
VERSION: Final = "0.1.0"

_Object = dict[str, object]

_JSON: Final = "application/json"
# The newest that the parser's schemas of bindings know.
_BINDING: Final = "0.5.0"
_BINARY: Final = "cloud-event-binary"

_PROCESSES: Final[dict[Process, str]] = {
    "api": "The edge: `weir api`.",
    "sink": "The sink to ClickHouse: `weir sink`.",
    "quotas": "The worker that decides about credits: `weir quotas`.",
    "social": "The worker that makes social posts: `weir social`.",
    "billing": "The worker that reports use to Stripe: `weir billing`.",
    "producers": "Programs of your own, beside Weir.",
    "cli": "The `weir` commands.",
}
# A request waits for what is sent to the partition of `replies` that its header names.
_WAITED_FOR: Final = {"quota-commands", "generation-requests"}

_DESCRIPTION: Final = """\
Everything in Weir is a message on Kafka, and every topic stands here once: what it holds, by
which key, for how long, who writes and who reads it. The document is made from the topic registry
and the models that check each message, and is the same whatever is set.

Operations are named for who does them; the tag `producers` marks those that are open to programs
of your own. Send with `acks=all`, idempotence, and the partitioner of Kafka's Java client
(murmur2): copies of a message must meet in one partition to count once. What cannot be used
becomes a message on `dead-letters`, and stops nothing.
"""


def async_api_document() -> _Object:
    """The document, JSON all through; its references lead within it."""
    return {
        "asyncapi": ASYNC_API,
        "id": "urn:weir:kafka",
        "info": {
            "title": "Weir on Kafka",
            "version": VERSION,
            "description": _DESCRIPTION,
            "license": {
                "name": "Apache-2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
            "tags": [{"name": name, "description": text} for name, text in _PROCESSES.items()],
        },
        "defaultContentType": _JSON,
        "servers": _servers(),
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": dict(_operations()),
        "components": {
            "messages": dict(_messages()),
            "messageTraits": {"traced": _TRACED},
            "schemas": _schemas(),
            "securitySchemes": _SECURITY,
        },
    }


_SECURITY: Final[_Object] = {
    "plain": {"type": "plain", "description": "KAFKA_SASL_MECHANISM=PLAIN; over TLS alone."},
    "scramSha256": {"type": "scramSha256", "description": "KAFKA_SASL_MECHANISM=SCRAM-SHA-256"},
    "scramSha512": {"type": "scramSha512", "description": "KAFKA_SASL_MECHANISM=SCRAM-SHA-512"},
    "certificate": {
        "type": "X509",
        "description": "KAFKA_SSL_CERTIFICATE_FILE and KAFKA_SSL_KEY_FILE: a client's own.",
    },
}
_TRACED: Final[_Object] = {
    "headers": {
        "type": "object",
        "properties": {
            "traceparent": {
                "type": "string",
                "description": "W3C Trace Context: the trace that the message belongs to.",
                "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
            }
        },
    }
}


def _servers() -> _Object:
    anywhere = {
        "bootstrap": {
            "default": "kafka.example.com:9093",
            "description": "Host and port of a broker, one of KAFKA_BOOTSTRAP_SERVERS.",
        }
    }
    return {
        "local": {
            "host": "127.0.0.1:9092",
            "protocol": "kafka",
            "description": "The broker that `weir up` starts on this machine.",
        },
        "cluster": {
            "host": "{bootstrap}",
            "protocol": "kafka-secure",
            "description": "A cluster: KAFKA_SECURITY_PROTOCOL is SASL_SSL or SSL.",
            "variables": anywhere,
            "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in _SECURITY],
        },
    }


def _channel(topic: Topic) -> _Object:
    configuration = topic.configuration()
    return {
        "address": f"{{prefix}}{topic.name}",
        "title": topic.name,
        "description": _told(topic),
        "parameters": {
            "prefix": {
                "default": "",
                "description": "WEIR_TOPIC_PREFIX, where a cluster is shared; else empty.",
            }
        },
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _names_on(topic)},
        "bindings": {
            "kafka": {
                "partitions": topic.partitions,
                # Whole numbers and lists where Kafka's own tools have texts.
                "topicConfiguration": {
                    "cleanup.policy": [configuration["cleanup.policy"]],
                    "retention.ms": topic.retention_ms,
                    "max.message.bytes": topic.max_message_bytes,
                },
                "bindingVersion": _BINDING,
            }
        },
        **({} if topic.dead_letters is None else {"x-dead-letters": topic.dead_letters}),
    }


def _told(topic: Topic) -> str:
    described = [each.describes for each in PUBLISHED.values() if topic in each.topics]
    return " ".join(
        [
            *(described[:1] or ["A worker's own table; nobody else reads or writes it."]),
            f"The message key is {topic.key}.",
            "The broker stamps the arrival (LogAppendTime).",
            *(
                [f"What cannot be used becomes a message on `{topic.dead_letters}`."]
                if topic.dead_letters
                else []
            ),
        ]
    )


def _names_on(topic: Topic) -> list[str]:
    names = [each.name for each in PUBLISHED.values() if topic in each.topics]
    return [*names, _BINARY] if topic in EVENT_TOPICS else names


def _operations() -> Iterator[tuple[str, _Object]]:
    for topic in TOPICS:
        for process in topic.written_by:
            yield f"{process}-sends-{topic.name}", _operation("send", process, topic)
        for process in topic.read_by:
            yield f"{process}-receives-{topic.name}", _operation("receive", process, topic)


def _operation(action: str, process: Process, topic: Topic) -> _Object:
    operation: _Object = {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic.name}"},
        "summary": f"{process} {'writes to' if action == 'send' else 'reads'} {topic.name}",
        "tags": [{"name": process}],
    }
    if action == "send" and process == "api" and topic.name in _WAITED_FOR:
        operation["reply"] = {
            "channel": {"$ref": f"#/channels/{REPLIES.name}"},
            "messages": [{"$ref": f"#/channels/{REPLIES.name}/messages/reply"}],
        }
    return operation


def _messages() -> Iterator[tuple[str, _Object]]:
    for schema in PUBLISHED.values():
        if schema.topics:
            yield schema.name, _message(schema)
    yield _BINARY, _binary_message()


def _message(schema: PublishedSchema) -> _Object:
    structured = schema.name == "cloud-event"
    content_type = MEDIA_TYPE if structured else _JSON
    message: _Object = {
        "name": schema.name,
        "title": schema.model.__name__,
        "summary": schema.describes,
        "contentType": content_type,
        "payload": {"$ref": f"#/components/schemas/{schema.model.__name__}"},
        "traits": [{"$ref": "#/components/messageTraits/traced"}],
        "bindings": _key(schema.topics),
        # Where the API has the payload's JSON Schema.
        "x-json-schema": schema.path_of(schema.version),
        "examples": [{"payload": each} for each in MESSAGE_EXAMPLES[schema.name]],
    }
    if structured:
        message["headers"] = _headers({"content-type": {"const": MEDIA_TYPE}}, "content-type")
        message["examples"] = [
            {"headers": {"content-type": MEDIA_TYPE}, "payload": each}
            for each in MESSAGE_EXAMPLES[schema.name]
        ]
    elif any(topic.name in _WAITED_FOR for topic in schema.topics):
        message["headers"] = _headers(
            {
                REQUEST_ID_HEADER: {
                    "description": "16 bytes that the reply names; of who waits for one."
                },
                REPLY_PARTITION_HEADER: {
                    "type": "string",
                    "pattern": "^[0-9]+$",
                    "description": f"The partition of `{REPLIES.name}` that the sender reads.",
                },
            }
        )
    elif schema.topics == (REPLIES,):
        message["correlationId"] = {
            "location": "$message.payload#/request_id",
            "description": f"The `{REQUEST_ID_HEADER}` of what it answers.",
        }
    return message


def _binary_message() -> _Object:
    """A CloudEvent whose attributes are headers, as CloudEvents' binding for Kafka has it."""
    [example] = MESSAGE_EXAMPLES["cloud-event"]
    attributes = {name: value for name, value in example.items() if name != "data"}
    text = {"type": "string", "minLength": 1}
    return {
        "name": _BINARY,
        "title": "CloudEvent, binary mode",
        "summary": "An event as a CloudEvent 1.0 whose attributes are headers.",
        "contentType": _JSON,
        "headers": _headers(
            {
                "content-type": text,
                "ce_specversion": {"const": "1.0"},
                "ce_id": text,
                "ce_source": text,
                "ce_type": {"type": "string", "pattern": EVENT_TYPE_PATTERN},
                "ce_time": {"type": "string", "format": "date-time"},
                "ce_subject": text,
            },
            "ce_specversion",
            "ce_id",
            "ce_source",
            "ce_type",
        ),
        "payload": {"$ref": f"#/components/schemas/{CloudEventData.__name__}"},
        "traits": [{"$ref": "#/components/messageTraits/traced"}],
        "bindings": _key(EVENT_TOPICS),
        "examples": [
            {
                "headers": {
                    "content-type": _JSON,
                    **{f"ce_{name}": value for name, value in attributes.items()},
                },
                "payload": example["data"],
            }
        ],
    }


def _headers(properties: _Object, *required: str) -> _Object:
    return {"type": "object", "properties": properties, "required": [*required]}


def _key(topics: tuple[Topic, ...]) -> _Object:
    keys = "; ".join(f"on {topic.name}: {topic.key}" for topic in topics)
    description = topics[0].key if len({topic.key for topic in topics}) == 1 else keys
    return {
        "kafka": {
            "key": {"type": "string", "description": description},
            "bindingVersion": _BINDING,
        }
    }


def _schemas() -> _Object:
    models: list[type[BaseModel]] = [
        *(each.model for each in PUBLISHED.values() if each.topics),
        CloudEventData,
    ]
    _, definitions = models_json_schema(
        [(model, "validation") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    return {name: _as_async_api(each) for name, each in definitions["$defs"].items()}


def _as_async_api(schema: object) -> object:
    """The schema in AsyncAPI's own dialect, a superset of draft 07.

    Its `discriminator` is another one than OpenAPI's: left out, `kind` is constant in each of them.
    Its tuples are lists under `items`.
    """
    if isinstance(schema, list):
        return [_as_async_api(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    written = {
        name: _as_async_api(value) for name, value in schema.items() if name != "discriminator"
    }
    if "prefixItems" in written:
        written["items"] = written.pop("prefixItems")
    return written
