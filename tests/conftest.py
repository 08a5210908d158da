"""What all tests share: no network without the marker, real services once a run."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import hypothesis
import pytest
import pytest_asyncio

from tests.forked_process import fork_server
from tests.services import Services, started_services
from tests.weir import Weir, throwaway_weir

# How long an example takes says how much else the machine has to do.
hypothesis.settings.register_profile("weir", deadline=None)
hypothesis.settings.load_profile("weir")


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests without the marker `services` cannot open a connection."""
    if request.node.get_closest_marker("services"):
        return

    def refuse(*_: object) -> None:
        raise AssertionError("this test opens a socket: mark it @pytest.mark.services")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "bind", refuse)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def services(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Services]:
    """Kafka and ClickHouse for the whole run, on free ports, in a temporary folder."""
    with fork_server():
        async with started_services(tmp_path_factory.mktemp("services")) as running:
            yield running


@pytest_asyncio.fixture(loop_scope="session")
async def weir(services: Services, tmp_path: Path) -> AsyncIterator[Weir]:
    """A Weir of its own on the shared services: own topics, group and database."""
    async with throwaway_weir(services, tmp_path) as own:
        yield own


@pytest.fixture(scope="session")
def access_log() -> Path:
    """The real access log, which lies beside the checkout."""
    file = Path(__file__).parents[2] / "shared" / "data" / "access.log.gz"
    if not file.exists():
        pytest.skip("shared/data/access.log.gz is not beside this checkout")
    return file
