"""Kafka before a start: whether it can be reached, and has the registry's topics."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.preflight.checks import Check, Problem
from deploy.topics import TopicProblem, topic_problems
from schemas.server_problems import kafka_cause, kafka_problem, refuses
from schemas.servers import KafkaSettings

ANSWER_SECONDS: Final = 10.0
"""How long one look may take."""


async def _reached(settings: KafkaSettings) -> Sequence[Problem]:
    return await _asked(settings, _connected)


async def _connected(settings: KafkaSettings) -> list[TopicProblem]:
    admin = AIOKafkaAdminClient(**settings.client_arguments())
    try:
        await admin.start()
    finally:
        await admin.close()
    return []


async def _usable(settings: KafkaSettings) -> Sequence[Problem]:
    return await _asked(settings, topic_problems)


async def _exact(settings: KafkaSettings) -> Sequence[Problem]:
    return await _asked(settings, topic_problems, exactly=True)


async def _asked(
    settings: KafkaSettings,
    ask: Callable[[KafkaSettings], Awaitable[list[TopicProblem]]],
    *,
    exactly: bool = False,
) -> Sequence[Problem]:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            found = await ask(settings)
    except (KafkaError, OSError) as error:
        cause = await kafka_cause(error, settings)
        return [Problem(kafka_problem(cause, settings), passes=not refuses(cause))]
    except ValueError:
        # A port that is none, a name that is too long.
        return [Problem("KAFKA_BOOTSTRAP_SERVERS: must look like host:9092,host:9092")]
    return [
        Problem(each.text, passes=each.kind == "missing")
        for each in found
        if exactly or each.kind != "differs"
    ]


KAFKA: Final = Check(KafkaSettings, _reached)
TOPICS: Final = Check(KafkaSettings, _usable)
EXACT_TOPICS: Final = Check(KafkaSettings, _exact)
