"""`weir up` before anything is started: settings, ports, the data folder."""

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.settings import LocalSettings
from schemas.settings import InvalidSettings, read_settings
from tests.ports import free_ports


def _up(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.commands", "up"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.services
def test_every_port_in_use_is_named_with_its_setting_before_anything_starts(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as other:
        kafka, api = one.getsockname()[1], other.getsockname()[1]
        done = _up(
            tmp_path,
            **{**free_ports(), "WEIR_KAFKA_PORT": str(kafka), "WEIR_API_PORT": str(api)},
        )
    assert done.returncode == 1
    assert set(done.stderr.splitlines()) == {
        f"Port {kafka} for Kafka is in use. Stop what listens there, or set WEIR_KAFKA_PORT.",
        f"Port {api} for the API is in use. Stop what listens there, or set WEIR_API_PORT.",
    }
    assert not (tmp_path / ".weir" / "logs").exists()


def test_a_second_start_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".weir").mkdir()
    with (tmp_path / ".weir" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("process 4711, http://127.0.0.1:8000\n")
        lock.flush()
        done = _up(tmp_path)
    assert done.returncode == 1
    assert "Weir runs already on" in done.stderr
    assert "process 4711, http://127.0.0.1:8000" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_data_folder_that_is_a_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    done = _up(tmp_path, WEIR_DATA_DIR="taken")
    assert done.returncode == 1
    assert "taken cannot be used as data folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_all_wrong_settings_are_named_at_once(tmp_path: Path) -> None:
    done = _up(tmp_path, WEIR_API_PORT="no port", WEIR_KAFKA_PORT="70000")
    assert done.returncode == 78
    assert "WEIR_API_PORT" in done.stderr
    assert "WEIR_KAFKA_PORT" in done.stderr


def test_a_settings_file_adds_to_the_environment_and_never_beats_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("WEIR_API_PORT=wrong\nWEIR_KAFKA_PORT=wrong\n")
    done = _up(tmp_path, WEIR_API_PORT="8000")
    assert done.returncode == 78
    assert "WEIR_KAFKA_PORT" in done.stderr
    assert "WEIR_API_PORT" not in done.stderr


def test_two_parts_cannot_have_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_API_PORT", "9092")
    with pytest.raises(InvalidSettings, match="WEIR_API_PORT and WEIR_KAFKA_PORT are both 9092"):
        read_settings(LocalSettings)


def test_a_server_elsewhere_needs_no_port_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka.example:9092")
    monkeypatch.setenv("WEIR_API_PORT", "9092")
    settings = read_settings(LocalSettings)
    assert set(settings.ports()) == {
        "WEIR_API_PORT",
        "WEIR_CLICKHOUSE_PORT",
        "WEIR_SINK_PORT",
        "WEIR_QUOTAS_PORT",
        "WEIR_SOCIAL_PORT",
        "WEIR_API_METRICS_PORT",
    }
    assert settings.bootstrap_servers == "kafka.example:9092"


def test_a_password_in_an_address_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKHOUSE_URL", "https://someone:hush7Q@clickhouse.example:8443/weir")
    settings = read_settings(LocalSettings)
    assert settings.clickhouse_host == "clickhouse.example"
    assert "hush7Q" not in repr(settings)
