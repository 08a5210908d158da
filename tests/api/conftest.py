"""One running API, sink and quotas worker for the tests of the edge that disturb nobody."""

from collections.abc import AsyncIterator
from copy import copy

import pytest
import pytest_asyncio

from tests.api.identity.credentials import AUDIENCE, ISSUER
from tests.api.log_of_topics import LogOfTopics
from tests.services import Services
from tests.stripe_fake import KEY, FakeStripe, served
from tests.weir import Weir, throwaway_weir


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def edge(services: Services, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Weir]:
    """A Weir with API, sink and both workers; tests tell their events apart by path."""
    async with throwaway_weir(services, tmp_path_factory.mktemp("edge")) as weir:
        weir.start_sink()
        await weir.keep(weir.start_quotas)
        await weir.keep(weir.start_social)
        await weir.start_api()
        await weir.eventually(weir.decides)
        yield weir


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def guarded(edge: Weir) -> AsyncIterator[Weir]:
    """The same Weir at another API, which asks for credentials: see tests/api/identity.

    It has an account at Stripe in which nothing is sold.
    """
    weir = copy(edge)
    async with served(FakeStripe()) as stripe:
        await weir.start_api(
            {
                "WEIR_AUTH": "required",
                "WEIR_JWT_ISSUER": ISSUER,
                "WEIR_JWT_AUDIENCE": AUDIENCE,
                "WEIR_RATE_LIMIT_USER": "",
                "STRIPE_API_KEY": KEY,
                "STRIPE_API_BASE": stripe,
                "STRIPE_WEBHOOK_SECRET": "whsec_guarded",
            }
        )
        yield weir


# Of a module: a client that is open for longer connects again by itself, also while a test runs
# that may open no connection.
@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def topics(edge: Weir) -> AsyncIterator[LogOfTopics]:
    """What lies on the topics of that Weir."""
    async with LogOfTopics(edge) as log:
        yield log
