"""Why Kafka or ClickHouse cannot be used: a sentence that says what to do, without secrets."""

from typing import Final

from schemas.servers import ClickHouseSettings, KafkaSettings

REFUSED: Final = frozenset({192, 193, 194, 497, 516})
"""ClickHouse's codes for a user it does not know, a wrong password, and what is not granted."""


def kafka_problem(error: Exception, settings: KafkaSettings) -> str:
    """Of an error of aiokafka's, or of the connection."""
    return (
        f"Kafka at {settings.bootstrap_servers} cannot be reached ({type(error).__name__}); "
        "check KAFKA_BOOTSTRAP_SERVERS or WEIR_KAFKA_PORT"
    )


def clickhouse_problem(error: Exception, settings: ClickHouseSettings) -> str:
    """Of an error of clickhouse-connect's, or of the connection."""
    where = f"ClickHouse at {settings.address}"
    code = code_of(error)
    if code in REFUSED:
        return f"{where} refused the credentials; check the user and the password in CLICKHOUSE_URL"
    if code is not None:
        return f"{where} answers with code {code}; its log says why"
    return (
        f"{where} cannot be reached ({type(error).__name__}); "
        "check CLICKHOUSE_URL or WEIR_CLICKHOUSE_PORT"
    )


async def kafka_cause(error: Exception, settings: KafkaSettings) -> Exception:  # noqa: ARG001
    """The error, or what lies behind it."""
    return error


def refuses(error: Exception) -> bool:
    """Whether Kafka or ClickHouse turn us away: waiting does not mend that."""
    from aiokafka.errors import AuthenticationFailedError, BrokerResponseError

    return (
        isinstance(error, AuthenticationFailedError)
        or (isinstance(error, BrokerResponseError) and not error.retriable)
        or code_of(error) in REFUSED
    )


def code_of(error: Exception) -> int | None:
    """ClickHouse's code for the error; None: it did not answer."""
    # A third of a second: only for who asks ClickHouse.
    from clickhouse_connect.driver.exceptions import DatabaseError

    return error.code if isinstance(error, DatabaseError) else None
