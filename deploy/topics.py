"""The registry's topics on Kafka: creates and completes them, says which are missing or differ."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final, Literal, TypeAlias

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from schemas.servers import KafkaSettings
from schemas.topics import TOPICS, Topic

# Name, value, whether it is read-only, and where it comes from: 1, of the topic itself.
_Entry: TypeAlias = tuple[str, str, bool, int]
_OF_TOPIC: Final = 1

SPREAD_SECONDS: Final = 15.0
"""How long a topic that was created may take until a broker lists it."""

_RULES: Final = frozenset({"cleanup.policy", "message.timestamp.type"})
"""Settings that Weir's promises rest on; of others an operator may have reasons to differ."""


@dataclass(frozen=True, slots=True)
class TopicProblem:
    """What is wrong with topics, and what to do.

    `kind`: `missing`; `unusable`, no process may start on it; `differs`, which hurts no promise.
    """

    kind: Literal["missing", "unusable", "differs"]
    text: str


class TopicsNotCreated(Exception):
    """Kafka refuses to create topics; the message names them, one reason a line."""


async def create_topics(settings: KafkaSettings, say: Callable[[str], None]) -> list[TopicProblem]:
    """Creates what is missing, and returns what is wrong with what is there.

    A setting that a topic was made without, by an earlier release, is set; one that it has is its
    operator's. Raises TopicsNotCreated, and aiokafka's KafkaError.
    """
    admin = AIOKafkaAdminClient(**settings.client_arguments())
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        refused: dict[str, list[str]] = {}
        for topic in TOPICS:
            name = settings.topic(topic.name)
            if name in existing:
                continue
            try:
                await _create(admin, name, topic, settings)
            except KafkaError as error:
                refused.setdefault(f"{type(error).__name__}: {error.args[0]}", []).append(name)
                continue
            say(f"created topic {name} with {topic.partitions_by(settings)} partitions")
        for name, lacking in (await _lacking(admin, settings, existing)).items():
            try:
                await _set(admin, name, lacking)
            except KafkaError as error:
                refused.setdefault(f"{type(error).__name__}: {error.args[0]}", []).append(name)
                continue
            say(f"set {', '.join(sorted(lacking.settings))} of topic {name}")
        if refused:
            raise TopicsNotCreated(
                "\n".join(
                    f"topics cannot be made as they should be: {', '.join(names)} ({why})"
                    for why, names in refused.items()
                )
            )
        await _wait_until_there(admin, {settings.topic(topic.name) for topic in TOPICS})
        return await _problems(admin, settings)
    finally:
        await admin.close()


async def topic_problems(settings: KafkaSettings) -> list[TopicProblem]:
    """What is wrong with the registry's topics; nothing when they are as it says.

    Raises aiokafka's KafkaError when the cluster cannot be reached.
    """
    admin = AIOKafkaAdminClient(**settings.client_arguments())
    try:
        await admin.start()
        return await _problems(admin, settings)
    finally:
        await admin.close()


async def _wait_until_there(admin: AIOKafkaAdminClient, names: set[str]) -> None:
    # The controller answers before each broker knows; what lasts, the problems say.
    deadline = monotonic() + SPREAD_SECONDS
    while True:
        if names <= set(await admin.list_topics()) or monotonic() > deadline:
            return
        await asyncio.sleep(0.05)


async def _create(
    admin: AIOKafkaAdminClient, name: str, topic: Topic, settings: KafkaSettings
) -> None:
    new = NewTopic(
        name=name,
        num_partitions=topic.partitions_by(settings),
        replication_factor=settings.replication_factor,
        topic_configs=topic.configuration() | _in_sync(settings.replication_factor),
    )
    response = await admin.create_topics([new])
    for _, code, *message in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise error(" ".join(str(part) for part in message))


def _in_sync(copies: int) -> dict[str, str]:
    """What is confirmed lies on two brokers at least, where one of three may be away."""
    return {"min.insync.replicas": "2"} if copies >= 3 else {}


async def _problems(admin: AIOKafkaAdminClient, settings: KafkaSettings) -> list[TopicProblem]:
    existing = set(await admin.list_topics())
    by_name = {settings.topic(topic.name): topic for topic in TOPICS}
    named = [name for name in by_name if name in existing]
    partitions = await _partitions(admin, named)
    configured = await _configurations(admin, named)
    # One that is being made may be known to one broker and not yet to the next.
    there = [name for name in named if name in partitions and name in configured]
    missing = [name for name in by_name if name not in there]
    problems = []
    if missing and there:
        problems.append(
            TopicProblem("missing", f"topics are missing: {', '.join(missing)}; run `weir topics`")
        )
    elif missing:
        problems.append(
            TopicProblem(
                "missing",
                f"Kafka at {settings.bootstrap_servers} has none of Weir's topics "
                f"({missing[0]}, …); run `weir topics`",
            )
        )
    for name in there:
        problems += _differences(name, by_name[name], partitions[name], configured[name], settings)
    return problems + _uneven([(name, by_name[name], partitions[name]) for name in there], settings)


async def _partitions(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, int]:
    # Of no names it would tell all topics.
    described = await admin.describe_topics(list(names)) if names else []
    return {each["topic"]: len(each["partitions"]) for each in described if each["partitions"]}


async def _configurations(
    admin: AIOKafkaAdminClient, names: Sequence[str]
) -> dict[str, dict[str, str]]:
    return {
        name: {entry[0]: entry[1] for entry in entries}
        for name, entries in (await _entries(admin, names)).items()
    }


async def _entries(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, Sequence[_Entry]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    return {
        name: entries
        for response in (await admin.describe_configs(resources) if resources else [])
        for _, _, _, name, entries in response.resources
    }


@dataclass(frozen=True, slots=True)
class _Lacking:
    """What a topic has no setting of its own for, and what it has."""

    settings: Mapping[str, str]
    own: Mapping[str, str]


async def _lacking(
    admin: AIOKafkaAdminClient, settings: KafkaSettings, existing: Collection[str]
) -> dict[str, _Lacking]:
    """By topic, as far as they lack something."""
    by_name = {settings.topic(topic.name): topic for topic in TOPICS}
    found = await _entries(admin, [name for name in by_name if name in existing])
    by_topic = {}
    for name, entries in found.items():
        own = {entry[0]: entry[1] for entry in entries if entry[3] == _OF_TOPIC}
        actual = {entry[0]: entry[1] for entry in entries}
        lacking = {
            setting: value
            for setting, value in by_name[name].configuration().items()
            if setting not in own and actual.get(setting) != value
        }
        if lacking:
            by_topic[name] = _Lacking(lacking, own)
    return by_topic


async def _set(admin: AIOKafkaAdminClient, name: str, lacking: _Lacking) -> None:
    # What is not named would fall back to the broker's.
    all_of_it = ConfigResource(
        ConfigResourceType.TOPIC, name, configs={**lacking.own, **lacking.settings}
    )
    [response] = await admin.alter_configs([all_of_it])
    for code, message, *_ in response.resources:
        if code:
            raise for_code(code)(message or "no reason given")
    # As for topics: the controller answers before the broker that is asked knows.
    deadline = monotonic() + SPREAD_SECONDS
    while monotonic() < deadline:
        actual = (await _configurations(admin, [name])).get(name, {})
        if lacking.settings.items() <= actual.items():
            return
        await asyncio.sleep(0.05)


def _differences(
    name: str,
    topic: Topic,
    partitions: int,
    actual: Mapping[str, str],
    settings: KafkaSettings,
) -> list[TopicProblem]:
    differences = []
    wanted = topic.partitions_by(settings)
    if partitions < wanted:
        differences.append(
            TopicProblem(
                "unusable",
                f"topic {name} has {partitions} partitions, not {wanted}: copies of an event meet "
                "by partition, so change it only when no copy is under way (docs/scaling.md)",
            )
        )
    for setting, value in topic.configuration().items():
        found = actual.get(setting)
        if found == value:
            continue
        too_small = setting == "max.message.bytes" and int(found or 0) < int(value)
        differences.append(
            TopicProblem(
                "unusable" if setting in _RULES or too_small else "differs",
                f"topic {name} has {setting}={found}, not {value}; change it back",
            )
        )
    return differences


def _uneven(
    topics: Sequence[tuple[str, Topic, int]], settings: KafkaSettings
) -> list[TopicProblem]:
    """A user's messages lie on partitions of the same number of all topics that are keyed so."""
    by_user = [
        (name, partitions)
        for name, topic, partitions in topics
        if topic.keyed_by_user
        # Fewer than in the registry is said of the topic itself.
        and partitions >= topic.partitions_by(settings)
    ]
    most = max((partitions for _, partitions in by_user), default=0)
    fewer = [name for name, partitions in by_user if partitions < most]
    if not fewer:
        return []
    return [
        TopicProblem(
            "unusable",
            f"topics that are keyed by user must have as many partitions as each other; give "
            f"{most} to {', '.join(fewer)}",
        )
    ]
