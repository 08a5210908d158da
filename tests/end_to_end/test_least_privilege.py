"""Each process as a user of its own, whom Kafka allows what the registry says, no more."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Final

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from schemas.server_problems import kafka_problem
from schemas.topics import TOPICS, Process
from streams.group.log_reader import LogReader
from tests.services import Services
from tests.streams.billing.stage import a_conversion, staged
from tests.weir import Weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(280)]

GROUPS: Final[Mapping[Process, str]] = {
    "sink": "WEIR_SINK_GROUP",
    "quotas": "WEIR_QUOTAS_GROUP",
    "social": "WEIR_SOCIAL_GROUP",
    "billing": "WEIR_BILLING_GROUP",
}
TABLES: Final = ("events", "quota_decisions", "generation_results", "usage_reports")
PROCESSES: Final[tuple[Process, ...]] = ("api", *GROUPS)


def rules_of(process: Process, weir: Weir) -> Iterator[tuple[ResourceType, str, AclOperation]]:
    """What Kafka is to allow this process: its topics and its group, by the registry."""
    for topic in TOPICS:
        # Each looks at all of them before it starts.
        yield (
            ResourceType.TOPIC,
            weir.topic(topic.name),
            AclOperation.DESCRIBE,
        )
        yield (
            ResourceType.TOPIC,
            weir.topic(topic.name),
            AclOperation.DESCRIBE_CONFIGS,
        )
        if process in topic.read_by:
            yield (
                ResourceType.TOPIC,
                weir.topic(topic.name),
                AclOperation.READ,
            )
        if process in topic.written_by:
            yield (
                ResourceType.TOPIC,
                weir.topic(topic.name),
                AclOperation.WRITE,
            )
    if process in GROUPS:
        yield (
            ResourceType.GROUP,
            weir.environment[GROUPS[process]],
            AclOperation.READ,
        )


def users_made(weir: Weir) -> dict[Process, dict[str, str]]:
    """A user for each process, with its rules: the settings by which the process is let in."""
    admin = AdminClient({**weir.librdkafka})
    users: dict[Process, dict[str, str]] = {
        process: {
            "KAFKA_SASL_USERNAME": f"{weir.name}-{process}",
            "KAFKA_SASL_PASSWORD": token_hex(16),
        }
        for process in PROCESSES
    }
    made = admin.alter_user_scram_credentials(
        [
            UserScramCredentialUpsertion(
                user["KAFKA_SASL_USERNAME"],
                ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096),
                user["KAFKA_SASL_PASSWORD"].encode(),
            )
            for user in users.values()
        ]
    )
    allowed = admin.create_acls(
        [
            AclBinding(
                kind,
                name,
                ResourcePatternType.LITERAL,
                f"User:{user['KAFKA_SASL_USERNAME']}",
                "*",
                operation,
                AclPermissionType.ALLOW,
            )
            for process, user in users.items()
            for kind, name, operation in rules_of(process, weir)
        ]
    )
    for future in (*made.values(), *allowed.values()):
        future.result(timeout=30)
    return users


async def test_every_process_does_its_work_with_the_rights_that_the_registry_gives_it(
    services: Services, tmp_path: Path
) -> None:
    async with staged(services, tmp_path, workers=0) as stage:
        weir = stage.weir
        users = await asyncio.to_thread(users_made, weir)
        sink = weir.start_sink(users["sink"])
        await weir.keep(partial(weir.start_quotas, users["quotas"]))
        await weir.keep(partial(weir.start_social, users["social"]))
        await weir.keep(partial(stage.start, users["billing"]))
        await weir.start_api({**users["api"], "WEIR_SELF_ANALYTICS": "true"})
        await weir.eventually(weir.decides)

        event = {"event_type": "page_view", "path": "/here"}
        status, _ = await weir.post("/analytics/events", event)
        assert status == 202
        status, post = await weir.post("/social/post", {"prompt": "a new espresso"})
        assert status == 200, post
        await stage.convert(a_conversion(customer="cus_one"))
        await weir.eventually(partial(stage.has_counted, {"cus_one": 1}))
        await weir.eventually(partial(stored_in, weir, TABLES), process=sink)


async def stored_in(weir: Weir, tables: Sequence[str]) -> bool:
    """Whether each of the tables has rows."""
    return all(
        weir.query("SELECT count() FROM {name:Identifier}", name=name) != [(0,)] for name in tables
    )


async def test_who_lacks_a_right_is_told_where_they_are_listed(weir: Weir) -> None:
    users = await asyncio.to_thread(users_made, weir)
    settings = weir.kafka.model_validate({**weir.environment, **users["api"]})
    reader = LogReader(settings)
    try:
        with pytest.raises(Exception, match="Authorization") as caught:
            await reader.is_empty(weir.topic("usage-ledger"), 0, 0, 1)
    finally:
        await reader.stop()
    sentence = kafka_problem(caught.value, settings)
    assert f"does not allow {weir.name}-api" in sentence
    assert "docs/operations.md" in sentence
