"""Every example in docs/events.md works as it stands there."""

import asyncio
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import jsonschema
import orjson
import pytest
from aiokafka import ConsumerRecord

from schemas.json_schemas import PUBLISHED
from schemas.topics import EVENT_TOPICS
from tests.api.log_of_topics import LogOfTopics
from tests.api.requests import EVENTS, ask
from tests.programs import required_program
from tests.weir import Json, Weir, all_taken

DOCUMENT = Path(__file__).parents[2] / "docs" / "events.md"
PROGRAMS = Path(sys.executable).parent
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)


def blocks(*languages: str) -> list[str]:
    return [text for language, text in BLOCKS if language in languages]


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


def _aiokafka_arguments(weir: Weir) -> str:
    context = f'__import__("ssl").create_default_context(cafile={weir.kafka.ssl_ca_file!r})'
    return ", ".join(
        f"{name}={context if name == 'ssl_context' and value else repr(value)}"
        for name, value in weir.kafka.client_arguments().items()
    )


def here(weir: Weir, text: str) -> str:
    """The example with this Weir's addresses and topics."""
    text = text.replace("http://127.0.0.1:8000", weir.url)
    for example, as_here in {
        'bootstrap_servers="127.0.0.1:9092"': _aiokafka_arguments(weir),
        '"bootstrap.servers": "127.0.0.1:9092"': orjson.dumps(weir.librdkafka).decode()[1:-1],
        "-b 127.0.0.1:9092": shlex.join(weir.kcat_options),
    }.items():
        text = text.replace(example, as_here)
    for topic in EVENT_TOPICS:
        text = re.sub(rf'(?<=["\s]){topic.name}(?=["\s])', weir.topic(topic.name), text)
    return text


@pytest.mark.services
async def test_every_command_and_program_sends_what_is_counted(weir: Weir) -> None:
    required_program("kcat")
    required_program("curl")
    sink = weir.start_sink()
    await weir.start_api()
    async with LogOfTopics(weir) as topics:
        before = await topics.ends()
        for text in blocks("python"):
            await run(sys.executable, "-c", here(weir, text))
        for text in blocks("sh"):
            answers = await run(
                "bash",
                "-euo",
                "pipefail",
                "-c",
                here(weir, text),
                folder=weir.folder,
                # `weir` is that of this environment, and asks this Weir.
                environment={**weir.environment, "PATH": f"{PROGRAMS}:{os.environ['PATH']}"},
            )
            assert len(re.findall(r"-d '|--data-binary", text)) <= answers.count('"event_id"')
            assert '"errors"' not in answers
            assert '"status":"rejected"' not in answers
        sent = await topics.since(before)
    for _, record in sent:
        check_message(record)
    await weir.eventually(partial(all_taken, weir), process=sink)
    assert weir.query("SELECT reason, detail FROM dead_letters") == []
    counted = await weir.summary()
    assert sum(counted.values()) == len(sent)
    for client in ("aiokafka", "confluent-kafka", "kcat", "cloudevents", "kcat-as-cloudevent"):
        assert counted[f"/from-{client}"] == 1


def check_message(record: "ConsumerRecord[bytes, bytes]") -> None:
    headers = dict(record.headers)
    value = orjson.loads(record.value or b"")
    if headers.get("content-type") == b"application/cloudevents+json":
        check("cloud-event", value)
    elif "ce_id" in headers:
        attributes = {
            name.removeprefix("ce_"): text.decode()
            for name, text in headers.items()
            if name.startswith("ce_")
        }
        check("cloud-event", {**attributes, "data": value})
    else:
        check("event", value)


async def run(
    *command: str, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """What the command says; it must succeed. It runs in the folder, which may get its files."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    return output.decode()
