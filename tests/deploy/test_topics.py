"""A topic that an earlier release made gets what it lacks, and keeps what its operator set."""

from functools import partial

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from deploy.topics import create_topics
from schemas.topics import QUOTA_ACCOUNTS
from tests.weir import Weir

pytestmark = pytest.mark.services


async def _is_listed(admin: AIOKafkaAdminClient, name: str) -> bool:
    return name in await admin.list_topics()


async def test_what_a_topic_lacks_is_set_and_what_it_has_is_named(weir: Weir) -> None:
    await weir.drop_topics()
    name = weir.topic(QUOTA_ACCOUNTS.name)
    made = {**QUOTA_ACCOUNTS.configuration(), "segment.ms": "3600000"}
    del made["max.compaction.lag.ms"]
    admin = AIOKafkaAdminClient(**weir.kafka.client_arguments())
    await admin.start()
    try:
        await admin.create_topics(
            [NewTopic(name, QUOTA_ACCOUNTS.partitions, 1, topic_configs=made)]
        )
        await weir.eventually(partial(_is_listed, admin, name))
        said: list[str] = []
        problems = await create_topics(weir.kafka, said.append)
        assert len(problems) == 1, (problems, said)
        [problem] = problems
        assert f"set max.compaction.lag.ms of topic {name}" in said
        assert "segment.ms=3600000" in problem.text
        [response] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        [(*_, entries)] = response.resources
        settings = {entry[0]: entry[1] for entry in entries}
        assert settings["segment.ms"] == "3600000"
        assert settings["max.compaction.lag.ms"] == "604800000"
        assert settings["cleanup.policy"] == "compact"
        again: list[str] = []
        assert await create_topics(weir.kafka, again.append) == [problem]
        assert again == []
    finally:
        await admin.close()
