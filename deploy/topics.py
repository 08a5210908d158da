"""Creates the registry's topics, sets what they lack, and says where an existing one differs."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final, TypeAlias

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from schemas.servers import KafkaSettings
from schemas.topics import TOPICS, Topic

# Name, value, whether it is read-only, and where it comes from: 1, of the topic itself.
_Entry: TypeAlias = tuple[str, str, bool, int]
_OF_TOPIC: Final = 1

SPREAD_SECONDS: Final = 15.0
"""How long a topic that was created may take until a broker lists it."""


async def create_topics(settings: KafkaSettings, say: Callable[[str], None]) -> list[str]:
    """Creates what is missing and returns a sentence for each existing topic that differs.

    A setting that a topic was made without, by an earlier release, is set; one that it has is its
    operator's. Raises aiokafka's KafkaError when the cluster cannot be reached or refuses.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        for topic in TOPICS:
            name = settings.topic(topic.name)
            if name not in existing:
                await _create(admin, name, topic, settings.replication_factor)
                say(f"created topic {name} with {topic.partitions} partitions")
            elif lacking := await _complete(admin, name, topic):
                say(f"set {', '.join(lacking)} of topic {name}")
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
                problems += await _differences(admin, name, topic)
            else:
                problems.append(f"topic {name} is missing; run `weir topics`")
        return problems
    finally:
        await admin.close()


async def _create(
    admin: AIOKafkaAdminClient, name: str, topic: Topic, replication_factor: int
) -> None:
    new = NewTopic(
        name=name,
        num_partitions=topic.partitions,
        replication_factor=replication_factor,
        topic_configs=topic.configuration(),
    )
    response = await admin.create_topics([new])
    for _, code, *message in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise error(f"topic {name}: {' '.join(str(part) for part in message)}")


async def _complete(admin: AIOKafkaAdminClient, name: str, topic: Topic) -> list[str]:
    """Sets what the topic has no setting of its own for; returns the names."""
    entries = await _settings(admin, name)
    own = {entry[0]: entry[1] for entry in entries if entry[3] == _OF_TOPIC}
    actual = {entry[0]: entry[1] for entry in entries}
    lacking = {
        setting: value
        for setting, value in topic.configuration().items()
        if setting not in own and actual.get(setting) != value
    }
    if lacking:
        # What is not named would fall back to the broker's.
        all_of_it = ConfigResource(ConfigResourceType.TOPIC, name, configs={**own, **lacking})
        [response] = await admin.alter_configs([all_of_it])
        for code, message, *_ in response.resources:
            if code:
                raise for_code(code)(f"topic {name}: {message}")
        await _wait_until_set(admin, name, lacking)
    return sorted(lacking)


async def _wait_until_set(admin: AIOKafkaAdminClient, name: str, settings: dict[str, str]) -> None:
    # As for topics: the controller answers before the broker that is asked knows.
    deadline = monotonic() + SPREAD_SECONDS
    while monotonic() < deadline:
        actual = {entry[0]: entry[1] for entry in await _settings(admin, name)}
        if settings.items() <= actual.items():
            return
        await asyncio.sleep(0.05)


async def _settings(admin: AIOKafkaAdminClient, name: str) -> list[_Entry]:
    [response] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    [(_, _, _, _, entries)] = response.resources
    return list(entries)


async def _differences(admin: AIOKafkaAdminClient, name: str, topic: Topic) -> list[str]:
    [description] = await admin.describe_topics([name])
    partitions = len(description["partitions"])
    differences = []
    if partitions < topic.partitions:
        differences.append(
            f"topic {name} has {partitions} partitions, not {topic.partitions}: copies of an "
            "event meet by partition, so change it only when no copy is under way"
        )
    actual = {entry[0]: entry[1] for entry in await _settings(admin, name)}
    differences += [
        f"topic {name} has {setting}={actual.get(setting)}, not {value}"
        for setting, value in topic.configuration().items()
        if actual.get(setting) != value
    ]
    return differences
