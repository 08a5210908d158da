"""Topics as Kafka describes them, with the ids by which one made anew is told from the old one."""

from collections.abc import Sequence
from io import BytesIO
from typing import ClassVar, NamedTuple
from uuid import UUID

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from schemas.servers import KafkaSettings
from schemas.topics import Topic
from streams.group.log_reader import LogReader

_TAGS = ("tags", TaggedFields)
_NO_ID = UUID(int=0)


class TopicsNotUsable(Exception):
    """The topics are not as the worker needs them; the message says what to do."""


class _Uuid(AbstractType):  # type: ignore[misc] # aiokafka is followed without its types
    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


class _MetadataResponseV12(Response):  # type: ignore[misc] # as above
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                _TAGS,
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        _TAGS,
                    ),
                ),
                ("authorized_operations", Int32),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class _MetadataRequestV12(RequestStruct):  # type: ignore[misc] # as above
    API_KEY = 3
    API_VERSION = 12
    FLEXIBLE_VERSION: ClassVar[bool] = True
    RESPONSE_TYPE = _MetadataResponseV12
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), _TAGS)),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        _TAGS,
    )


class _MetadataRequest(Request[_MetadataRequestV12]):  # type: ignore[misc] # as above
    """Version 12 (Kafka 3.0), the first that tells ids; aiokafka itself knows versions up to 5."""

    API_KEY = 3

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def build(self, request_struct_class: type[_MetadataRequestV12]) -> _MetadataRequestV12:
        topics: list[tuple[UUID, str, dict[int, bytes]]] = [
            (_NO_ID, name, {}) for name in self._names
        ]
        return request_struct_class(topics, False, False, {})


class Description(NamedTuple):
    """Of a topic: its id, and how many partitions it has."""

    topic_id: UUID
    partitions: int


async def describe(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, Description]:
    """These topics, by name; one that is missing is left out. Raises aiokafka's KafkaError."""
    response = await admin._send_request(_MetadataRequest(names))  # noqa: SLF001, it has no other
    found: dict[str, Description] = {}
    for code, name, topic_id, _, partitions, *_ in response.topics:
        error = for_code(code)
        if error is UnknownTopicOrPartitionError:
            continue
        if code:
            raise error(f"topic {name} cannot be described")
        found[name] = Description(topic_id, len(partitions))
    return found


async def described(
    admin: AIOKafkaAdminClient, settings: KafkaSettings, needed: Sequence[Topic], like: Topic
) -> dict[str, Description]:
    """The topics that a worker needs, by the registry's names.

    Those keyed by user or customer must have as many partitions as `like`: the messages of one lie
    on partitions of one number. Raises TopicsNotUsable, which says what to do, and aiokafka's
    KafkaError.
    """
    by_name = await describe(admin, [settings.topic(topic.name) for topic in needed])
    missing = [
        settings.topic(topic.name) for topic in needed if settings.topic(topic.name) not in by_name
    ]
    if missing:
        raise TopicsNotUsable(f"topics are missing: {', '.join(missing)}; run `weir topics`")
    topics = {topic.name: by_name[settings.topic(topic.name)] for topic in needed}
    partitions = topics[like.name].partitions
    differing = [
        topic.name
        for topic in needed
        if topic.keyed_by_user and topics[topic.name].partitions != partitions
    ]
    if differing:
        raise TopicsNotUsable(
            f"{', '.join(differing)} must have as many partitions as {like.name}, "
            f"which has {partitions}: a user's messages lie on partitions of the same number"
        )
    return topics


async def described_for(
    settings: KafkaSettings, needed: Sequence[Topic], group: str, like: Topic
) -> dict[str, Description]:
    """As `described`, for a worker of this group. Raises aiokafka's KafkaError too."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    try:
        await admin.start()
        topics = await described(admin, settings, needed, like)
        # Where no group has ever been, asking for it makes the coordinator: Faust's consumer
        # would log its first answers as errors.
        await admin.find_coordinator(group)
    finally:
        await admin.close()
    return topics


async def described_with_ends(
    settings: KafkaSettings, needed: Sequence[Topic], group: str, changelog: Topic
) -> tuple[dict[str, Description], dict[int, int]]:
    """As `described_for`, and where each partition of the worker's changelog ends."""
    topics = await described_for(settings, needed, group, changelog)
    reader = LogReader(settings)
    try:
        partitions = range(topics[changelog.name].partitions)
        return topics, await reader.ends(settings.topic(changelog.name), partitions)
    finally:
        await reader.stop()
