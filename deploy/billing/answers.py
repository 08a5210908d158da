"""Runs what `weir stripe` asks, and ends the process with what went wrong where something did."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeVar

from deploy.edge_answers import EXIT_FAILED, EXIT_TRY_AGAIN, fail
from schemas.settings import EX_CONFIG

if TYPE_CHECKING:
    from stripe import StripeClient

    from schemas.billing import UsageCommand
    from schemas.meters import Meter, Meters
    from schemas.stripe_account import StripeSettings

EXIT_NOT_STRIPE: Final = 69
SINK_SECONDS: Final = 60.0
"""So long `--fix` waits for the sink to store what had arrived before."""

_Result = TypeVar("_Result")


def account() -> "StripeSettings":
    """Settings with a key; without one the process ends with 78."""
    from schemas.settings import read_settings_or_exit
    from schemas.stripe_account import StripeSettings

    settings = read_settings_or_exit(StripeSettings)
    if not settings.bills:
        fail(
            "stripe",
            EX_CONFIG,
            "STRIPE_API_KEY is not set; set it to a secret key from Stripe's dashboard",
        )
    return settings


def known_meters() -> "Meters":
    from schemas.meters import InvalidMeters, MetersSettings, read_meters
    from schemas.settings import read_settings_or_exit

    try:
        return read_meters(read_settings_or_exit(MetersSettings).meters_path)
    except InvalidMeters as error:
        fail("stripe", EX_CONFIG, str(error))


async def wait_for_the_sink(meters: "Iterable[Meter]", until: datetime) -> None:
    """A report whose event is not stored yet looks as if there were none: it would be cancelled."""
    from aiokafka.errors import KafkaError

    from deploy.billing.sink_progress import has_stored
    from schemas.server_problems import kafka_away
    from schemas.settings import read_settings_or_exit
    from schemas.topics import STRIPE_CUSTOMERS, USAGE_REPORTS, topic_for
    from streams.sink.settings import SinkSettings

    settings = read_settings_or_exit(SinkSettings)
    topics = {topic.name: topic for topic in (USAGE_REPORTS, STRIPE_CUSTOMERS)}
    topics |= {topic.name: topic for topic in (topic_for(each.event_type) for each in meters)}
    try:
        stored = await has_stored(
            settings, settings.group, list(topics.values()), until, SINK_SECONDS
        )
    except KafkaError as error:
        why = await kafka_away(error, settings)
        fail(
            "stripe",
            EXIT_TRY_AGAIN,
            f"{why}. Is it running, with its topics (`weir topics`)?",
        )
    if not stored:
        fail(
            "stripe",
            EXIT_TRY_AGAIN,
            "the sink has not stored yet what arrived before this began, so nothing can be fixed; "
            "start `weir sink`, or wait for it, and run this again",
        )


def published(commands: "Sequence[UsageCommand]") -> int:
    from deploy.billing.commands_sent import KafkaAway, TopicMissing, send_commands
    from schemas.servers import KafkaSettings
    from schemas.settings import read_settings_or_exit

    try:
        return asyncio.run(send_commands(read_settings_or_exit(KafkaSettings), commands))
    except TopicMissing as error:
        fail("stripe", EXIT_FAILED, str(error))
    except KafkaAway as error:
        fail("stripe", EXIT_TRY_AGAIN, f"{error}. Run it again: nothing is sent twice")


async def with_stripe(
    settings: "StripeSettings", work: "Callable[[StripeClient], Coroutine[None, None, _Result]]"
) -> _Result:
    from schemas.stripe_account import opened_stripe

    async with opened_stripe(settings) as client:
        return await work(client)


def run(work: Coroutine[None, None, _Result]) -> _Result:
    """What comes of it; where it cannot, the process ends and says why."""
    from deploy.billing.clickhouse_questions import ClickHouseAway, TablesMissing
    from deploy.billing.stripe_calls import NotStripe, StripeAway, StripeRefused

    try:
        return asyncio.run(work)
    except (StripeRefused, TablesMissing) as error:
        fail("stripe", EXIT_FAILED, str(error))
    except NotStripe as error:
        fail("stripe", EXIT_NOT_STRIPE, str(error))
    except (StripeAway, ClickHouseAway) as error:
        fail("stripe", EXIT_TRY_AGAIN, f"{error}. Run it again")
