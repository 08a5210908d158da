"""One embedded ClickHouse for the tests of it, and a database of its own for each test."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from tests.deploy.local.clickhouse.embedded import EmbeddedClickHouse


@pytest.fixture(scope="package")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedClickHouse]:
    """A ready process with four connections and 1 GiB."""
    server = EmbeddedClickHouse(
        tmp_path_factory.mktemp("embedded"),
        {
            "WEIR_CLICKHOUSE_CONNECTIONS": "4",
            "WEIR_CLICKHOUSE_MAX_MEMORY": str(1024**3),
            "WEIR_CLICKHOUSE_BODY_TIMEOUT": "1",
        },
    )
    server.start()
    try:
        yield server
    finally:
        assert server.stop() == 0


@pytest.fixture
def own_clickhouse(tmp_path: Path) -> Iterator[EmbeddedClickHouse]:
    """A process that the test starts, stops and kills itself."""
    server = EmbeddedClickHouse(tmp_path / "data")
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def database(clickhouse: EmbeddedClickHouse) -> Iterator[str]:
    """The name of an empty database."""
    name = f"t{uuid.uuid4().hex[:12]}"
    admin = clickhouse.client()
    admin.command(f"CREATE DATABASE {name}")
    try:
        yield name
    finally:
        admin.command(f"DROP DATABASE {name} SYNC")
        admin.close()


@pytest.fixture
def client(clickhouse: EmbeddedClickHouse, database: str) -> Iterator[Client]:
    """A clickhouse-connect client on the empty database."""
    client = clickhouse.client(database=database)
    try:
        yield client
    finally:
        client.close()
