"""Kafka before a start: whether it can be reached, and has the registry's topics."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    BrokerResponseError,
    KafkaError,
)

from deploy.preflight.checks import Check, Problem
from deploy.topics import topic_problems
from schemas.server_problems import kafka_problem
from schemas.servers import KafkaSettings

ANSWER_SECONDS: Final = 10.0
"""How long one look may take."""


async def _reached(settings: KafkaSettings) -> Sequence[Problem]:
    admin = AIOKafkaAdminClient(**settings.client_arguments())
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await admin.start()
    except (KafkaError, OSError) as error:
        return [_unusable(error, settings)]
    finally:
        await admin.close()
    return ()


async def _topics(settings: KafkaSettings, *, exactly: bool) -> Sequence[Problem]:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            found = await topic_problems(settings)
    except (KafkaError, OSError) as error:
        return [_unusable(error, settings)]
    return [
        Problem(each.text, passes=each.kind == "missing")
        for each in found
        if exactly or each.kind != "differs"
    ]


def _unusable(error: Exception, settings: KafkaSettings) -> Problem:
    # Who is refused is refused again; who hears nothing, or of a leader that is being elected, may
    # hear more in a moment.
    refused = isinstance(error, (AuthenticationFailedError, AuthenticationMethodNotSupported)) or (
        isinstance(error, BrokerResponseError) and not error.retriable
    )
    return Problem(kafka_problem(error, settings), passes=not refused)


KAFKA: Final = Check(KafkaSettings, _reached)
TOPICS: Final = Check(KafkaSettings, partial(_topics, exactly=False))
EXACT_TOPICS: Final = Check(KafkaSettings, partial(_topics, exactly=True))
