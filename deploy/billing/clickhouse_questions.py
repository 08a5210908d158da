"""ClickHouse asked for a command of `weir`: rows of a question, and why there are none."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from schemas.migrations.cluster import for_cluster
from schemas.server_problems import clickhouse_problem, code_of
from schemas.servers import ClickHouseSettings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

SECONDS: Final = 300
"""How long one question may take."""

# UNKNOWN_TABLE and UNKNOWN_DATABASE.
_NO_TABLES: Final = {60, 81}

# Rows have values of any type: the question beside them says which.
Row = Sequence[Any]
Parameters = Mapping[str, object]


class ClickHouseAway(Exception):
    """ClickHouse cannot be reached, or did not answer; the message says which."""


class TablesMissing(Exception):
    """Tables are not there; the message says what to do."""


class Questions:
    """Asks one ClickHouse. Not for several threads at once."""

    def __init__(self, client: "Client", settings: ClickHouseSettings) -> None:
        self._client = client
        self._settings = settings

    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        """All rows. Raises ClickHouseAway or TablesMissing."""
        with _said(self._settings):
            return list(self._client.query(sql, parameters=dict(parameters)).result_rows)

    def command(self, sql: str, parameters: Parameters) -> None:
        """Returns when it is done, on all servers of a cluster. Raises as `rows`."""
        with _said(self._settings):
            for statement in written_for(self._settings, sql):
                self._client.command(statement, parameters=dict(parameters))


def written_for(settings: ClickHouseSettings, sql: str) -> tuple[str, ...]:
    """The statements that do on the servers of these settings what one does on one server."""
    cluster = settings.clickhouse_cluster
    return for_cluster(sql.strip(), cluster, settings.database) if cluster else (sql,)


@contextmanager
def opened_questions(settings: ClickHouseSettings) -> Iterator[Questions]:
    """Raises ClickHouseAway or TablesMissing."""
    import clickhouse_connect

    with _said(settings):
        client = clickhouse_connect.get_client(
            **settings.clickhouse_arguments(),
            database=settings.database,
            connect_timeout=5,
            send_receive_timeout=SECONDS,
            # Its log of queries holds what is bound in them, and who is asked about.
            settings={"log_queries": 0},
        )
    with client:
        yield Questions(client, settings)


def moment_text(moment: datetime) -> str:
    """A moment as ClickHouse reads it for `DateTime64(6, 'UTC')`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


@contextmanager
def _said(settings: ClickHouseSettings) -> Iterator[None]:
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        yield
    except ClickHouseError as error:
        if code_of(error) in _NO_TABLES:
            raise TablesMissing(
                f"ClickHouse at {settings.address} lacks tables; run `weir migrate`"
            ) from None
        raise ClickHouseAway(clickhouse_problem(error, settings)) from None
