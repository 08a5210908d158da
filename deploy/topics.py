"""Creates the registry's topics, and says where an existing one differs."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from schemas.servers import KafkaSettings
from schemas.topics import TOPICS, Topic

SPREAD_SECONDS: Final = 15.0
"""How long a topic that was created may take until a broker lists it."""


async def create_topics(settings: KafkaSettings, say: Callable[[str], None]) -> list[str]:
    """Creates what is missing and returns a sentence for each existing topic that differs.

    Raises aiokafka's KafkaError when the cluster cannot be reached or refuses.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        for topic in TOPICS:
            name = settings.topic(topic.name)
            if name not in existing:
                await _create(admin, name, topic, settings)
                say(f"created topic {name} with {topic.partitions_by(settings)} partitions")
        await _wait_until_there(admin, {settings.topic(topic.name) for topic in TOPICS})
    finally:
        await admin.close()
    return await topic_problems(settings)


async def _wait_until_there(admin: AIOKafkaAdminClient, names: set[str]) -> None:
    # The controller answers before each broker knows; what lasts, topic_problems says.
    deadline = monotonic() + SPREAD_SECONDS
    while True:
        if names <= set(await admin.list_topics()) or monotonic() > deadline:
            return
        await asyncio.sleep(0.05)


async def topic_problems(settings: KafkaSettings) -> list[str]:
    """A sentence for each topic of the registry that is missing or differs.

    Raises aiokafka's KafkaError when the cluster cannot be reached.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        problems = []
        for topic in TOPICS:
            name = settings.topic(topic.name)
            if name in existing:
                problems += await _differences(admin, name, topic, settings)
            else:
                problems.append(f"topic {name} is missing; run `weir topics`")
        return problems
    finally:
        await admin.close()


async def _create(
    admin: AIOKafkaAdminClient, name: str, topic: Topic, settings: KafkaSettings
) -> None:
    new = NewTopic(
        name=name,
        num_partitions=topic.partitions_by(settings),
        replication_factor=settings.replication_factor,
        topic_configs=topic.configuration(),
    )
    response = await admin.create_topics([new])
    for _, code, *message in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise error(f"topic {name}: {' '.join(str(part) for part in message)}")


async def _differences(
    admin: AIOKafkaAdminClient, name: str, topic: Topic, settings: KafkaSettings
) -> list[str]:
    [description] = await admin.describe_topics([name])
    partitions = len(description["partitions"])
    differences = []
    wanted = topic.partitions_by(settings)
    if partitions < wanted:
        differences.append(
            f"topic {name} has {partitions} partitions, not {wanted}: copies of an event meet by "
            "partition, so change it only when no copy is under way (docs/scaling.md)"
        )
    [response] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    [(_, _, _, _, entries)] = response.resources
    actual = {entry[0]: entry[1] for entry in entries}
    differences += [
        f"topic {name} has {setting}={actual.get(setting)}, not {value}"
        for setting, value in topic.configuration().items()
        if actual.get(setting) != value
    ]
    return differences
