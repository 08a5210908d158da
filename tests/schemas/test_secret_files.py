"""Any secret may come from a file that is named for it; the environment wins."""

from pathlib import Path
from typing import Final

import pytest
from pydantic import SecretStr

from api.settings import ApiSettings
from deploy.edge_client import EdgeSettings
from deploy.local.settings import LocalSettings
from deploy.settings_kinds import KINDS
from schemas.servers import ClickHouseSettings, KafkaSettings
from schemas.settings import InvalidSettings, Settings, read_settings
from schemas.tracing import TracingSettings
from streams.social.settings import SocialSettings

SECRETS: Final[tuple[tuple[type[Settings], str, str], ...]] = (
    (ApiSettings, "WEIR_JWT_SECRET", "j" * 32),
    (ApiSettings, "WEIR_VISITOR_SECRET", "v" * 32),
    (ApiSettings, "STRIPE_WEBHOOK_SECRET", "whsec_of_a_file"),
    (SocialSettings, "OPENAI_API_KEY", "sk-of-a-file"),
    (LocalSettings, "STRIPE_API_KEY", "sk_test_of_a_file"),
    (EdgeSettings, "WEIR_TOKEN", "token-of-a-file"),
    (KafkaSettings, "KAFKA_SASL_PASSWORD", "a password, with = and #"),
    (ClickHouseSettings, "CLICKHOUSE_URL", "https://somebody:hidden@clickhouse.example/weir"),
    (ClickHouseSettings, "CLICKHOUSE_PASSWORD", "ein Paßwort"),
    (TracingSettings, "OTEL_EXPORTER_OTLP_HEADERS", "authorization=of%20a%20file"),
)
# What makes a secret mean something.
BESIDE: Final = {
    "WEIR_JWT_SECRET": {"WEIR_AUTH": "required"},
    "KAFKA_SASL_PASSWORD": {
        "KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9092",
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_USERNAME": "somebody",
    },
    "CLICKHOUSE_PASSWORD": {"CLICKHOUSE_URL": "https://somebody@clickhouse.example"},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEIR_SECRETS_DIR", str(tmp_path))
    return tmp_path


def value_of(settings: Settings, name: str) -> str:
    [field] = [key for key, each in type(settings).model_fields.items() if each.alias == name]
    value = getattr(settings, field)
    assert isinstance(value, SecretStr)
    return value.get_secret_value()


def test_every_secret_is_tried_here() -> None:
    secret = {
        field.alias
        for kind in KINDS
        for field in kind.model_fields.values()
        if isinstance(field.default, SecretStr)
    }
    assert secret == {name for _, name, _ in SECRETS}


@pytest.mark.parametrize(("kind", "name", "value"), SECRETS, ids=lambda each: str(each)[:30])
def test_a_secret_comes_from_its_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Settings], name: str, value: str
) -> None:
    monkeypatch.setenv("WEIR_AUTH", "local")
    for other, given in BESIDE.get(name, {}).items():
        monkeypatch.setenv(other, given)
    (folder / name).write_text(f"{value}\n")
    assert value_of(read_settings(kind), name) == value

    monkeypatch.setenv(name, other := value.replace("e", "w"))
    assert value_of(read_settings(kind), name) == other


def test_secrets_as_kubernetes_mounts_them_are_read(folder: Path) -> None:
    """Each file is a link to a folder that is exchanged as a whole."""
    (folder / "..2026").mkdir()
    (folder / "..2026" / "WEIR_TOKEN").write_text("mounted")
    (folder / "..data").symlink_to("..2026")
    (folder / "WEIR_TOKEN").symlink_to("..data/WEIR_TOKEN")
    assert value_of(read_settings(EdgeSettings), "WEIR_TOKEN") == "mounted"


def test_a_folder_that_does_not_exist_is_one_problem_beside_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WEIR_SECRETS_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("WEIR_API_PORT", "many")
    with pytest.raises(InvalidSettings) as caught:
        read_settings(EdgeSettings)
    first, second = str(caught.value).splitlines()
    assert first.startswith("  WEIR_SECRETS_DIR:")
    assert first.endswith(f"{tmp_path}/nowhere is not a folder")
    assert "WEIR_API_PORT" in second


def test_a_file_that_is_no_text_is_a_problem_without_its_bytes(folder: Path) -> None:
    (folder / "WEIR_TOKEN").write_bytes(b"hidden\xff\xfe")
    with pytest.raises(InvalidSettings, match=r"WEIR_SECRETS_DIR: a file in it cannot be read"):
        read_settings(EdgeSettings)
