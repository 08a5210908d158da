"""One running API and sink for the tests of the edge that do not disturb each other."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.api.log_of_topics import LogOfTopics
from tests.services import Services
from tests.weir import Weir, throwaway_weir


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def edge(services: Services, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Weir]:
    """A Weir with API and sink; tests tell their events apart by path."""
    async with throwaway_weir(services, tmp_path_factory.mktemp("edge")) as weir:
        weir.start_sink()
        await weir.start_api()
        yield weir


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def topics(edge: Weir) -> AsyncIterator[LogOfTopics]:
    """What lies on the topics of that Weir."""
    async with LogOfTopics(edge) as log:
        yield log
