"""End-to-end tests run on servers that let nobody in without TLS and credentials."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.secure_services import secure_services
from tests.services import Services


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def services(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Services]:
    """Kafka and ClickHouse for these tests, beside the open ones of the others."""
    async with secure_services(tmp_path_factory.mktemp("secure")) as running:
        yield running
