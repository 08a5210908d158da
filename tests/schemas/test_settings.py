"""Settings come from the environment; every error is said at once, and no value with it."""

import pytest

from schemas.servers import ClickHouseSettings, KafkaSettings
from schemas.settings import InvalidSettings, read_settings, read_settings_or_exit


class Both(KafkaSettings, ClickHouseSettings):
    pass


def test_local_servers_are_found_by_their_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_KAFKA_PORT", "19092")
    monkeypatch.setenv("WEIR_CLICKHOUSE_PORT", "18123")
    settings = read_settings(Both)
    assert settings.bootstrap_servers == "127.0.0.1:19092"
    assert settings.address == "127.0.0.1:18123"
    assert settings.database == "weir"


def test_a_url_names_server_user_and_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKHOUSE_URL", "https://reader:hidden@example.net/stats")
    settings = read_settings(ClickHouseSettings)
    assert settings.database == "stats"
    assert settings.clickhouse_arguments() == {
        "host": "example.net",
        "port": 8443,
        "secure": True,
        "username": "reader",
        "password": "hidden",
        "verify": True,
        "ca_cert": None,
    }
    assert "hidden" not in repr(settings)


def test_every_problem_is_said_at_once_without_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_KAFKA_PORT", "99999")
    monkeypatch.setenv("CLICKHOUSE_URL", "ftp://user:secret@host")
    with pytest.raises(InvalidSettings) as caught:
        read_settings(Both)
    assert "WEIR_KAFKA_PORT" in str(caught.value)
    assert "CLICKHOUSE_URL" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_process_with_bad_settings_ends_with_78(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEIR_KAFKA_PORT", "many")
    with pytest.raises(SystemExit) as caught:
        read_settings_or_exit(KafkaSettings)
    assert caught.value.code == 78
    assert "WEIR_KAFKA_PORT" in capsys.readouterr().err
