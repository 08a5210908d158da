"""An API with an account at a fake of Stripe, two secrets of webhooks and meters of its own."""

from collections.abc import AsyncIterator
from copy import copy
from dataclasses import dataclass
from typing import Final

import pytest
import pytest_asyncio

from schemas.topics import STRIPE_EVENTS
from tests.api.log_of_topics import LogOfTopics
from tests.services import Services
from tests.stripe_fake import KEY, FakeStripe, served
from tests.weir import Weir, throwaway_weir

METERS: Final = """
currency = "eur"

[meters.conversions]
title = "Conversions"
event_type = "conversion"
unit_amount = 2

[meters.leads]
title = "Leads"
event_type = "lead"
unit_amount = 0.0125

[meters.calls]
title = "Calls"
event_type = "call"
unit_amount = 150
"""
OLD_SECRET: Final = "whsec_until_tomorrow"
SECRET: Final = "whsec_since_today"


@dataclass(frozen=True)
class Billed:
    """A Weir and its account at Stripe."""

    weir: Weir
    stripe: FakeStripe


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def unbilled(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Weir]:
    """A Weir of API and sink, without any setting of Stripe's."""
    async with throwaway_weir(services, tmp_path_factory.mktemp("billing")) as weir:
        weir.start_sink()
        await weir.start_api({"WEIR_AUTH": "required", "WEIR_RATE_LIMIT_USER": ""})
        yield weir


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def billed(unbilled: Weir, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Billed]:
    """The same Weir at another API, which has all settings of Stripe's."""
    meters = tmp_path_factory.mktemp("billed") / "meters.toml"
    meters.write_text(METERS)
    weir, stripe = copy(unbilled), FakeStripe()
    async with served(stripe) as url:
        await weir.start_api(
            {
                "WEIR_AUTH": "required",
                "WEIR_RATE_LIMIT_USER": "",
                "WEIR_METERS_FILE": str(meters),
                "STRIPE_API_KEY": KEY,
                "STRIPE_API_BASE": url,
                "STRIPE_WEBHOOK_SECRET": f"{OLD_SECRET}, {SECRET}",
            }
        )
        yield Billed(weir, stripe)
    assert stripe.wrong == []


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stripe_events(billed: Billed) -> AsyncIterator[LogOfTopics]:
    """What lies on `stripe-events`."""
    async with LogOfTopics(billed.weir, [STRIPE_EVENTS]) as log:
        yield log
