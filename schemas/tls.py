"""TLS as a client of Kafka and ClickHouse: PEM files, and host names that are always checked."""

import ssl
from pathlib import Path


def client_context(
    ca_file: str = "", certificate_file: str = "", key_file: str = ""
) -> ssl.SSLContext:
    """What a server's certificate is checked with; the system's authorities where none are given.

    With a certificate and its key the server can check who asks. Files are read anew at each
    call, so that what connects again takes renewed ones. Raises OSError (ssl.SSLError is one).
    """
    context = ssl.create_default_context(cafile=ca_file or None)
    if certificate_file:
        context.load_cert_chain(certificate_file, key_file, password=_no_password)
    return context


def require_certificates(path: str) -> str:
    """The path of a file with certificates. Raises ValueError with what is wrong with it."""
    _require_file(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ValueError(f"{path} holds no certificate in PEM") from None
    return path


def require_key(path: str, certificate_file: str) -> str:
    """The path of the certificate's key. Raises ValueError with what is wrong with it."""
    _require_file(path)
    try:
        client_context("", certificate_file, path)
    except ssl.SSLError:
        raise ValueError(
            f"{path} holds no private key in PEM, unencrypted, that belongs to the certificate"
        ) from None
    return path


def _require_file(path: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({type(error).__name__})") from None


def _no_password() -> str:
    # Without one OpenSSL would ask at the terminal.
    return ""
