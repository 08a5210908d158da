"""What is set about TLS and credentials must fit together; all that does not is said at once."""

import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
import trustme

from schemas.servers import ClickHouseSettings, KafkaSettings
from schemas.settings import InvalidSettings, read_settings

CHECKOUT: Final = Path(__file__).parents[2]
PRODUCT: Final = sorted(
    file
    for folder in ("api", "streams", "deploy", "schemas")
    for file in (CHECKOUT / folder).rglob("*.py")
    # The servers of one machine, which ask for nothing.
    if "local" not in file.parts
)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """PEM files by name: an authority, a certificate of it with its key, another key; no PEM."""
    authority = trustme.CA()
    ours, others = authority.issue_cert("weir.example"), authority.issue_cert("other.example")
    contents = {
        "ca": authority.cert_pem.bytes(),
        "certificate": ours.cert_chain_pems[0].bytes(),
        "key": ours.private_key_pem.bytes(),
        "other-key": others.private_key_pem.bytes(),
        "text": b"no certificate\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return {name: str(tmp_path / name) for name in (*contents, "missing")} | {
        "folder": str(tmp_path)
    }


def problems(
    monkeypatch: pytest.MonkeyPatch,
    kind: type[KafkaSettings | ClickHouseSettings],
    environment: Mapping[str, str],
) -> dict[str, str]:
    """Setting → what is wrong with it."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    try:
        read_settings(kind)
    except InvalidSettings as error:
        lines = [line.strip().partition(": ") for line in str(error).splitlines()]
        return {name: text for name, _, text in lines}
    return {}


def test_kafka_is_spoken_to_in_the_clear_unless_something_is_set() -> None:
    assert read_settings(KafkaSettings).client_arguments() == {
        "bootstrap_servers": "127.0.0.1:9092",
        "security_protocol": "PLAINTEXT",
        "ssl_context": None,
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": None,
        "sasl_plain_password": None,
    }


def test_kafkas_clients_get_credentials_and_check_certificate_and_host_name(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str]
) -> None:
    found = problems(
        monkeypatch,
        KafkaSettings,
        {
            "KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9093",
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-256",
            "KAFKA_SASL_USERNAME": "somebody",
            "KAFKA_SASL_PASSWORD": "hidden",
            "KAFKA_SSL_CA_FILE": files["ca"],
            "KAFKA_SSL_CERTIFICATE_FILE": files["certificate"],
            "KAFKA_SSL_KEY_FILE": files["key"],
        },
    )
    assert found == {}
    settings = read_settings(KafkaSettings)
    given = settings.client_arguments()
    context = given["ssl_context"]
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert len(context.get_ca_certs()) == 1
    assert (given["security_protocol"], given["sasl_mechanism"]) == ("SASL_SSL", "SCRAM-SHA-256")
    assert (given["sasl_plain_username"], given["sasl_plain_password"]) == ("somebody", "hidden")
    assert "hidden" not in f"{settings!r} {settings}"


def test_all_that_is_missing_for_kafka_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str]
) -> None:
    found = problems(
        monkeypatch,
        KafkaSettings,
        {
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "GSSAPI",
            "KAFKA_SSL_CA_FILE": files["missing"],
            "KAFKA_SSL_CERTIFICATE_FILE": files["certificate"],
        },
    )
    assert found.keys() == {
        "KAFKA_BOOTSTRAP_SERVERS",
        "KAFKA_SASL_MECHANISM",
        "KAFKA_SASL_USERNAME",
        "KAFKA_SASL_PASSWORD",
        "KAFKA_SSL_CA_FILE",
        "KAFKA_SSL_KEY_FILE",
    }
    assert "does not exist" in found["KAFKA_SSL_CA_FILE"]
    assert "needed with KAFKA_SSL_CERTIFICATE_FILE" in found["KAFKA_SSL_KEY_FILE"]


def test_what_kafkas_protocol_leaves_without_meaning_contradicts_it(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str]
) -> None:
    found = problems(
        monkeypatch,
        KafkaSettings,
        {
            "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
            "KAFKA_SASL_USERNAME": "somebody",
            "KAFKA_SASL_PASSWORD": "hidden",
            "KAFKA_SSL_CA_FILE": files["ca"],
            "KAFKA_SSL_CERTIFICATE_FILE": files["certificate"],
            "KAFKA_SSL_KEY_FILE": files["key"],
        },
    )
    assert found.keys() == {
        "KAFKA_SASL_USERNAME",
        "KAFKA_SASL_PASSWORD",
        "KAFKA_SSL_CA_FILE",
        "KAFKA_SSL_CERTIFICATE_FILE",
        "KAFKA_SSL_KEY_FILE",
    }
    assert all("KAFKA_SECURITY_PROTOCOL=PLAINTEXT" in text for text in found.values())
    assert "hidden" not in str(found)


@pytest.mark.parametrize(
    ("setting", "file", "says"),
    [
        ("KAFKA_SSL_CA_FILE", "text", "holds no certificate in PEM"),
        ("KAFKA_SSL_CA_FILE", "key", "holds no certificate in PEM"),
        ("KAFKA_SSL_CA_FILE", "folder", "cannot be read (IsADirectoryError)"),
        ("KAFKA_SSL_CERTIFICATE_FILE", "text", "holds no certificate in PEM"),
        ("KAFKA_SSL_KEY_FILE", "missing", "does not exist"),
        ("KAFKA_SSL_KEY_FILE", "text", "no private key in PEM"),
        ("KAFKA_SSL_KEY_FILE", "other-key", "that belongs to the certificate"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str], setting: str, file: str, says: str
) -> None:
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9093",
        "KAFKA_SECURITY_PROTOCOL": "SSL",
        "KAFKA_SSL_CERTIFICATE_FILE": files["certificate"],
        "KAFKA_SSL_KEY_FILE": files["key"],
        setting: files[file],
    }
    found = problems(monkeypatch, KafkaSettings, environment)
    assert found.keys() == {setting}
    assert files[file] in found[setting]
    assert says in found[setting]


def test_a_key_without_its_certificate_is_half(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str]
) -> None:
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9093",
        "KAFKA_SECURITY_PROTOCOL": "SSL",
        "KAFKA_SSL_KEY_FILE": files["key"],
    }
    found = problems(monkeypatch, KafkaSettings, environment)
    assert found.keys() == {"KAFKA_SSL_KEY_FILE"}
    assert "KAFKA_SSL_CERTIFICATE_FILE is not" in found["KAFKA_SSL_KEY_FILE"]


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str], tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(Path(files["key"]).read_bytes(), password=None)
    encrypted = tmp_path / "encrypted"
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hidden"),
        )
    )
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9093",
        "KAFKA_SECURITY_PROTOCOL": "SSL",
        "KAFKA_SSL_CERTIFICATE_FILE": files["certificate"],
        "KAFKA_SSL_KEY_FILE": str(encrypted),
    }
    assert "unencrypted" in problems(monkeypatch, KafkaSettings, environment)["KAFKA_SSL_KEY_FILE"]


def test_clickhouses_password_wins_over_the_urls_and_both_are_decoded(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str]
) -> None:
    monkeypatch.setenv("CLICKHOUSE_URL", "https://some%40body:p%2Fw@clickhouse.example/weir")
    monkeypatch.setenv("CLICKHOUSE_CA_FILE", files["ca"])
    given = read_settings(ClickHouseSettings).clickhouse_arguments()
    assert (given["username"], given["password"]) == ("some@body", "p/w")
    assert (given["verify"], given["ca_cert"]) == (True, files["ca"])

    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "p%2Fw")
    assert read_settings(ClickHouseSettings).clickhouse_arguments()["password"] == "p%2Fw"


@pytest.mark.parametrize(
    ("environment", "setting", "says"),
    [
        ({"CLICKHOUSE_PASSWORD": "hidden"}, "CLICKHOUSE_URL", "needed with CLICKHOUSE_PASSWORD"),
        (
            {"CLICKHOUSE_URL": "http://clickhouse.example", "CLICKHOUSE_CA_FILE": "ca"},
            "CLICKHOUSE_CA_FILE",
            "https://",
        ),
        ({"CLICKHOUSE_CA_FILE": "ca"}, "CLICKHOUSE_CA_FILE", "CLICKHOUSE_URL is without TLS"),
        (
            {"CLICKHOUSE_URL": "https://clickhouse.example", "CLICKHOUSE_CA_FILE": "text"},
            "CLICKHOUSE_CA_FILE",
            "holds no certificate in PEM",
        ),
        ({"CLICKHOUSE_URL": "https://h:65536/"}, "CLICKHOUSE_URL", "must look like"),
    ],
)
def test_what_contradicts_itself_about_clickhouse_is_said_without_the_password(
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    environment: dict[str, str],
    setting: str,
    says: str,
) -> None:
    given = {
        name: files[value] if name == "CLICKHOUSE_CA_FILE" else value
        for name, value in environment.items()
    }
    found = problems(monkeypatch, ClickHouseSettings, given)
    assert found.keys() == {setting}
    assert says in found[setting]
    assert "hidden" not in found[setting]


@pytest.mark.parametrize(
    ("client", "arguments"),
    [
        (
            r"AIOKafka(?:Producer|Consumer|AdminClient)",
            r"\*\*[\w.]*(?:server|client_arguments\(\))",
        ),
        (r"clickhouse_connect\.get_(?:async_)?client", r"\*\*[\w.]*clickhouse_arguments\(\)"),
    ],
)
def test_every_client_is_told_all_that_its_server_asks_for(client: str, arguments: str) -> None:
    """One that was left out works on open servers, and fails on others."""
    made = [
        (file.name, call.group())
        for file in PRODUCT
        for call in re.finditer(rf"\b{client}\(\s*\S+", file.read_text())
    ]
    assert len(made) > 4
    assert [each for each in made if not re.search(rf"\(\s*{arguments}", each[1])] == []
