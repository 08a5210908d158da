"""ClickHouse asked for a command of `weir`: rows of a question, and why there are none."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

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

    def __init__(self, client: "Client", address: str) -> None:
        self._client = client
        self._address = address

    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        """All rows. Raises ClickHouseAway or TablesMissing."""
        with _said(self._address):
            return list(self._client.query(sql, parameters=dict(parameters)).result_rows)

    def command(self, sql: str, parameters: Parameters) -> None:
        """Returns when it is done. Raises as `rows`."""
        with _said(self._address):
            self._client.command(sql, parameters=dict(parameters))


@contextmanager
def opened_questions(settings: ClickHouseSettings) -> Iterator[Questions]:
    """Raises ClickHouseAway or TablesMissing."""
    import clickhouse_connect

    with _said(settings.address):
        client = clickhouse_connect.get_client(
            **settings.client_arguments(),
            database=settings.database,
            connect_timeout=5,
            send_receive_timeout=SECONDS,
        )
    with client:
        yield Questions(client, settings.address)


def moment_text(moment: datetime) -> str:
    """A moment as ClickHouse reads it for `DateTime64(6, 'UTC')`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


@contextmanager
def _said(address: str) -> Iterator[None]:
    from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

    try:
        yield
    except DatabaseError as error:
        if error.code is None:
            raise ClickHouseAway(_away(address)) from None
        if error.code in _NO_TABLES:
            raise TablesMissing(
                f"ClickHouse at {address} lacks tables; run `weir migrate`"
            ) from None
        raise ClickHouseAway(f"ClickHouse at {address} cannot answer (code {error.code})") from None
    except ClickHouseError:
        raise ClickHouseAway(_away(address)) from None


def _away(address: str) -> str:
    return (
        f"ClickHouse at {address} cannot be reached; check CLICKHOUSE_URL or WEIR_CLICKHOUSE_PORT"
    )
