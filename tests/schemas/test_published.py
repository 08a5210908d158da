"""Schemas that were published stay what they were, and what lies on Kafka by them can be read."""

from dataclasses import replace
from pathlib import Path

import jsonschema
import orjson
import pytest
from pydantic import BaseModel, ConfigDict

from schemas.events import Event
from schemas.json_schemas import PUBLISHED, PublishedSchema
from schemas.published import problems, published_text, written
from schemas.topics import TOPICS, Topic


@pytest.mark.parametrize("schema", PUBLISHED.values(), ids=lambda each: each.name)
def test_every_schema_is_published_as_its_model_has_it(schema: PublishedSchema) -> None:
    assert published_text(schema.name, schema.version) == written(schema), "run `make lock-schemas`"


def test_nothing_that_was_published_is_changed_or_gone() -> None:
    assert list(problems()) == []


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_what_lies_on_a_topic_has_a_published_schema(topic: Topic) -> None:
    models = {each.model for each in PUBLISHED.values() if topic in each.topics}
    assert topic.model is None or topic.model in models


@pytest.mark.parametrize("schema", PUBLISHED.values(), ids=lambda each: each.name)
def test_examples_of_all_versions_are_as_their_schema_says_and_can_be_read(
    schema: PublishedSchema,
) -> None:
    """A message of an older version lies on Kafka for weeks after the newer one is there."""
    for version in schema.versions:
        document = orjson.loads(published_text(schema.name, version))
        validator = jsonschema.Draft202012Validator(
            document, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        )
        assert document["examples"]
        for example in document["examples"]:
            validator.validate(example)
            schema.model.model_validate_json(orjson.dumps(example))


EVENT = PublishedSchema("event", Event, "An event.")


class Described(Event):
    """The same said in other words."""


class Widened(Event):
    colour: str | None = None


class Loosened(Event):
    model_config = ConfigDict(extra="allow")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "event.v1.json").write_bytes(written(EVENT))
    return tmp_path


def found(folder: Path, *schemas: PublishedSchema) -> str:
    return "\n".join(problems({each.name: each for each in schemas}, folder))


def test_other_words_are_no_other_version(folder: Path) -> None:
    schema = replace(EVENT, model=Described, describes="Something happened.")
    assert written(schema) != written(EVENT)
    assert found(folder, schema) == ""


@pytest.mark.parametrize("model", [Widened, Loosened])
def test_what_allows_other_documents_needs_another_version(
    folder: Path, model: type[BaseModel]
) -> None:
    changed = replace(EVENT, model=model)
    assert "allows other documents than its published version 1" in found(folder, changed)
    assert found(folder, replace(changed, version=2)) == ""


def test_a_version_that_is_skipped_or_gone_is_named(folder: Path) -> None:
    assert "event.v2 was never published" in found(folder, replace(EVENT, version=3))
    assert "event.v1 was published and is gone" in found(folder)
