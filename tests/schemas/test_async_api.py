"""The AsyncAPI document has the registry, all of it, and its examples are what it says."""

import json
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from schemas.async_api import ASYNC_API, VERSION, async_api_document
from schemas.cloud_events import from_structured
from schemas.json_schemas import PUBLISHED
from schemas.messages import read_message
from schemas.topics import EVENT_TOPICS, TOPICS, Topic

# The document is JSON of any shape; tests look into it.
Json = Any

DOCUMENT: Json = json.loads(json.dumps(async_api_document()))
MESSAGES: Json = DOCUMENT["components"]["messages"]


def test_it_is_of_this_release() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert DOCUMENT["info"]["version"] == VERSION == project["project"]["version"]
    assert DOCUMENT["asyncapi"] == ASYNC_API


def test_every_topic_is_a_channel_and_nothing_else() -> None:
    assert list(DOCUMENT["channels"]) == [topic.name for topic in TOPICS]


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_a_channel_is_as_the_registry_has_the_topic(topic: Topic) -> None:
    channel = DOCUMENT["channels"][topic.name]
    assert channel["address"] == "{prefix}" + topic.name
    assert topic.key in channel["description"]
    kafka = channel["bindings"]["kafka"]
    assert kafka["partitions"] == topic.partitions
    assert kafka["topicConfiguration"]["retention.ms"] == topic.retention_ms
    assert kafka["topicConfiguration"]["max.message.bytes"] == topic.max_message_bytes
    assert kafka["topicConfiguration"]["cleanup.policy"] == [
        topic.configuration()["cleanup.policy"]
    ]
    assert channel.get("x-dead-letters") == topic.dead_letters
    assert bool(channel["messages"]) == (topic.model is not None)


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_who_writes_and_who_reads_are_operations(topic: Topic) -> None:
    done = {
        (each["action"], each["tags"][0]["name"])
        for each in DOCUMENT["operations"].values()
        if each["channel"]["$ref"] == f"#/channels/{topic.name}"
    }
    assert done == {
        *(("send", process) for process in topic.written_by),
        *(("receive", process) for process in topic.read_by),
    }


def test_every_process_is_told_of() -> None:
    told = {each["name"] for each in DOCUMENT["info"]["tags"]}
    assert {name for topic in TOPICS for name in (*topic.written_by, *topic.read_by)} == told


def references(document: Json) -> Iterator[str]:
    if isinstance(document, dict):
        if isinstance(document.get("$ref"), str):
            yield document["$ref"]
        for each in document.values():
            yield from references(each)
    elif isinstance(document, list):
        for each in document:
            yield from references(each)


def test_every_reference_leads_somewhere() -> None:
    for reference in set(references(DOCUMENT)):
        place = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def valid(schema: Json, instance: Json) -> None:
    whole = {**schema, "components": DOCUMENT["components"]}
    checker = jsonschema.Draft7Validator.FORMAT_CHECKER
    jsonschema.Draft7Validator(whole, format_checker=checker).validate(instance)


@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_has_examples_and_they_are_as_it_says(name: str) -> None:
    message = MESSAGES[name]
    assert message["examples"]
    for example in message["examples"]:
        valid(message["payload"], example["payload"])
        if "headers" in message and message["headers"]["required"]:
            valid(message["headers"], example["headers"])


@pytest.mark.parametrize("name", [each.name for each in PUBLISHED.values() if each.topics])
def test_what_a_message_may_not_be_is_refused_here_too(name: str) -> None:
    for example in MESSAGES[name]["examples"]:
        with pytest.raises(jsonschema.ValidationError):
            valid(MESSAGES[name]["payload"], {**example["payload"], "No-Such-Field": 1.5})


def test_its_events_are_what_the_sink_takes() -> None:
    [event_topic] = [topic for topic in EVENT_TOPICS if topic.name == "conversions"]
    names = DOCUMENT["channels"][event_topic.name]["messages"]
    assert list(names) == ["event", "cloud-event", "cloud-event-binary"]
    now = datetime(2026, 11, 24, 9, 31, tzinfo=UTC)
    read = {}
    for name in names:
        [example] = MESSAGES[name]["examples"]
        headers = [(key, value.encode()) for key, value in example.get("headers", {}).items()]
        read[name] = read_message(headers, json.dumps(example["payload"]).encode(), received_at=now)
    [structured] = MESSAGES["cloud-event"]["examples"]
    again = from_structured(json.dumps(structured["payload"]).encode(), received_at=now)
    assert read["cloud-event"] == again
    # The same event, whichever of the two modes it came in.
    assert read["cloud-event-binary"].event == read["cloud-event"].event  # type: ignore[union-attr]
