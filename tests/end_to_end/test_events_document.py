"""Every JSON document in docs/events.md is what its schema says, and is accepted.

Its commands are run by test_documents_run.
"""

import shlex
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import orjson
import pytest

from schemas.json_schemas import PUBLISHED
from tests import fenced
from tests.api.requests import EVENTS, ask
from tests.weir import Json, Weir

DOCUMENT = Path(__file__).parents[2] / "docs" / "events.md"


def blocks(language: str) -> list[str]:
    return [each.text for each in fenced.blocks(DOCUMENT) if each.language == language]


def documents() -> Iterator[Json]:
    """The JSON that stands in the document: in blocks of its own, and in commands."""
    for text in blocks("json"):
        yield orjson.loads(text)
    for text in blocks("sh"):
        for word in shlex.split(text):
            if word.startswith(("{", "[{")):
                value = orjson.loads(word.replace("$id", "019ab0c2-7f00-7c3e-8f00-2a1b3c4d5e6f"))
                for event in value if isinstance(value, list) else [value]:
                    # In binary mode it is the data alone.
                    if event.keys() & {"event_type", "specversion"}:
                        yield event


def check(name: str, document: Json) -> None:
    validator = jsonschema.Draft202012Validator
    jsonschema.validate(
        document, PUBLISHED[name].document(), validator, format_checker=validator.FORMAT_CHECKER
    )


def test_every_json_document_is_as_its_schema_says() -> None:
    found = list(documents())
    assert len(found) > 6
    for document in found:
        check("cloud-event" if "specversion" in document else "new-event", document)


@pytest.mark.services
async def test_every_json_document_is_accepted(weir: Weir) -> None:
    await weir.start_api()
    for document in documents():
        kind = "application/cloudevents+json" if "specversion" in document else "application/json"
        body = orjson.dumps(document)
        answer = await ask(weir, "POST", EVENTS, body, {"Content-Type": kind})
        assert answer.status == 202, answer.body
