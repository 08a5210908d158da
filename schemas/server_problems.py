"""Why Kafka or ClickHouse cannot be used: a sentence that names what to check, and no secret."""

import asyncio
import ssl
from collections.abc import Iterator
from socket import gaierror
from typing import Final

from schemas.servers import ClickHouseSettings, KafkaSettings

LOOK_SECONDS: Final = 3.0
"""So long one server may take to say what it has against us."""

# X509_V_ERR_CERT_NOT_YET_VALID and _HAS_EXPIRED; _HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH.
_TIMES: Final = frozenset({9, 10})
_NAMES: Final = frozenset({62, 64})

# UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, AUTHENTICATION_FAILED; ACCESS_DENIED.
_NOT_LET_IN: Final = frozenset({192, 193, 194, 516})
_NOT_ALLOWED: Final = 497

REFUSED: Final = _NOT_LET_IN | {_NOT_ALLOWED}
"""ClickHouse's codes for credentials that it does not take, and for what is not granted."""


def kafka_problem(error: BaseException, settings: KafkaSettings) -> str:
    """What went wrong with Kafka. See `kafka_error` for what aiokafka's clients leave out."""
    from aiokafka import errors

    where = f"Kafka at {settings.bootstrap_servers}"
    if said := _tls_problem(
        error, where, "KAFKA_SSL_CA_FILE", "KAFKA_BOOTSTRAP_SERVERS", "KAFKA_SECURITY_PROTOCOL"
    ):
        return said
    match error:
        case errors.AuthenticationFailedError() | errors.SaslAuthenticationFailed():
            return (
                f"{where} refused the credentials; check KAFKA_SASL_USERNAME and "
                "KAFKA_SASL_PASSWORD"
            )
        case errors.UnsupportedSaslMechanismError() | errors.IllegalSaslStateError():
            return (
                f"{where} takes no credentials by {settings.sasl_mechanism}; check "
                "KAFKA_SASL_MECHANISM"
            )
        case (
            errors.TopicAuthorizationFailedError()
            | errors.GroupAuthorizationFailedError()
            | errors.ClusterAuthorizationFailedError()
            | errors.TransactionalIdAuthorizationFailed()
        ):
            user = settings.sasl_username or "who asks without credentials"
            return (
                f"{where} does not allow {user} what is needed ({type(error).__name__}); "
                "docs/operations.md lists the ACLs"
            )
        case errors.KafkaConnectionError() if "closed" in str(error):
            # Nothing else is said to who speaks another protocol than the listener.
            return (
                f"{where} closed the connection; check KAFKA_SECURITY_PROTOCOL "
                f"(now {settings.security_protocol})"
            )
        case _:
            return (
                f"{where} cannot be reached ({type(error).__name__}); check "
                "KAFKA_BOOTSTRAP_SERVERS or WEIR_KAFKA_PORT"
            )


async def kafka_error(settings: KafkaSettings) -> Exception | None:
    """What a connection to Kafka fails with now, None when one of its servers is well.

    aiokafka's clients log it and raise that none could be reached. Takes LOOK_SECONDS a server
    at most.
    """
    from aiokafka.conn import collect_hosts, create_conn
    from aiokafka.errors import KafkaError
    from aiokafka.protocol.metadata import MetadataRequest

    found: Exception | None = None
    for host, port, _ in collect_hosts(settings.bootstrap_servers):
        try:
            server = settings.client_arguments()
            async with asyncio.timeout(LOOK_SECONDS):
                connection = await create_conn(
                    host,
                    port,
                    security_protocol=server["security_protocol"],
                    ssl_context=server["ssl_context"],
                    sasl_mechanism=server["sasl_mechanism"],
                    sasl_plain_username=server["sasl_plain_username"],
                    sasl_plain_password=server["sasl_plain_password"],
                )
                try:
                    # Who should have given credentials is turned away at the first question.
                    await connection.send(MetadataRequest([]))
                finally:
                    connection.close()
        # A connection that was reset a moment ago may be a RuntimeError of the event loop.
        except (KafkaError, OSError, RuntimeError) as error:
            found = error
        else:
            return None
    return found


async def kafka_cause(error: Exception, settings: KafkaSettings) -> Exception:
    """The error, or what lies behind it: found by a look at Kafka where it says too little."""
    from aiokafka.errors import KafkaConnectionError

    if isinstance(error, KafkaConnectionError | TimeoutError):
        return await kafka_error(settings) or error
    return error


async def kafka_away(error: Exception, settings: KafkaSettings) -> str:
    """What went wrong with Kafka, said after a look at it where that is needed."""
    return kafka_problem(await kafka_cause(error, settings), settings)


def clickhouse_problem(error: BaseException, settings: ClickHouseSettings) -> str:
    """What went wrong with ClickHouse: an error of clickhouse-connect, aiohttp or the network.

    Never the server's own words: they may quote rows and what was bound in a question.
    """
    where = f"ClickHouse at {settings.address}"
    code = code_of(error)
    if code in _NOT_LET_IN:
        return (
            f"{where} refused the credentials; check the user in CLICKHOUSE_URL, and "
            "CLICKHOUSE_PASSWORD"
        )
    if code == _NOT_ALLOWED:
        return (
            f"{where} does not allow its user what is needed (code {code}); "
            "docs/operations.md lists the grants"
        )
    if code is not None:
        return f"{where} answered with code {code}"
    return _tls_problem(error, where, "CLICKHOUSE_CA_FILE", "CLICKHOUSE_URL", "CLICKHOUSE_URL") or (
        f"{where} cannot be reached ({type(error).__name__}); check CLICKHOUSE_URL or "
        "WEIR_CLICKHOUSE_PORT"
    )


def code_of(error: BaseException) -> int | None:
    """ClickHouse's code for the error; None: it did not answer."""
    # A third of a second: only for who asks ClickHouse.
    from clickhouse_connect.driver.exceptions import DatabaseError

    return error.code if isinstance(error, DatabaseError) else None


def refuses(error: BaseException) -> bool:
    """Whether Kafka or ClickHouse turn us away, or we them: waiting does not mend that."""
    from aiokafka.errors import AuthenticationFailedError, BrokerResponseError

    return (
        any(isinstance(each, ssl.SSLCertVerificationError) for each in _causes(error))
        or isinstance(error, AuthenticationFailedError)
        or (isinstance(error, BrokerResponseError) and not error.retriable)
        or code_of(error) in REFUSED
    )


def _tls_problem(
    error: BaseException, where: str, authorities: str, address: str, protocol: str
) -> str | None:
    """What is wrong with name or certificate of a server, by the settings that it depends on."""
    for each in _causes(error):
        match each:
            # aiohttp's own, which says nothing and has one that does as its cause.
            case ssl.SSLCertVerificationError() if not hasattr(each, "verify_code"):
                continue
            case ssl.SSLCertVerificationError() if each.verify_code in _NAMES:
                return (
                    f"{where} shows a certificate of another host ({each.verify_message}); check "
                    f"{address}"
                )
            case ssl.SSLCertVerificationError() if each.verify_code in _TIMES:
                return (
                    f"{where} shows a certificate that is not valid now ({each.verify_message}); "
                    "renew it, or set this machine's clock"
                )
            case ssl.SSLCertVerificationError():
                return (
                    f"{where} shows a certificate that is not trusted here "
                    f"({each.verify_message}); check {authorities}"
                )
            case ssl.SSLError():
                return f"{where} broke TLS off ({each.reason or 'EOF'}); check {protocol}"
            case gaierror():
                return f"{where}: no host of this name is known; check {address}"
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    # What libraries wrap an error of the network in has it as cause or context.
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
