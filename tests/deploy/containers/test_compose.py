"""docker-compose.yml: valid, pinned, guarded, and of one mind with the settings and the images."""

import os
import re
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest
import yaml
from compose_spec import PyCompose

from api.settings import ApiSettings
from bench import scaling
from deploy.containers.reload import _END_SECONDS
from deploy.preflight.settings import StartSettings
from schemas.servers import ClickHouseSettings, KafkaSettings
from schemas.settings import Settings
from streams.billing.settings import BillingSettings
from streams.quotas.settings import QuotasSettings
from streams.sink.settings import SinkSettings
from streams.social.settings import SocialSettings
from tests.containers import CLICKHOUSE_IMAGE, KAFKA_IMAGE
from tests.deploy.containers.compose_file import (
    CHECKOUT,
    COMPOSE,
    OVERRIDE,
    REFERENCE,
    Document,
    NotSet,
    environment_of,
    filled_in,
    loaded,
    merged,
)
from tests.deploy.containers.dockerfile import stages_of
from tests.weir import Json

KINDS: Final[Mapping[str, type[Settings]]] = {
    "migrate": ClickHouseSettings,
    "topics": KafkaSettings,
    "api": ApiSettings,
    "sink": SinkSettings,
    "quotas": QuotasSettings,
    "social": SocialSettings,
    "billing": BillingSettings,
}
SETTING: Final = re.compile(r"(?:WEIR|KAFKA|CLICKHOUSE|OPENAI|STRIPE|OTEL)_[A-Z_]+")
# Known to uvicorn, to Python, to the client of S3 and to OpenTelemetry, not to Weir's settings.
OF_LIBRARIES: Final = {"FORWARDED_ALLOW_IPS", "PYTHONPATH"}
OF_S3: Final = {
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION",
    "AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP",
}  # fmt: skip
# Commands are run in the API's container, and `weir forget` asks how far each worker has come.
OF_COMMANDS: Final = {
    "WEIR_SINK_GROUP", "WEIR_QUOTAS_GROUP", "WEIR_SOCIAL_GROUP", "WEIR_BILLING_GROUP",
}  # fmt: skip
# Of a server that is not the one beside it, and of another way to give secrets.
OF_OTHER_SERVERS: Final = re.compile(
    r"WEIR_(?:KAFKA|CLICKHOUSE)_PORT|KAFKA_(?:SECURITY|SASL|SSL)_\w+|CLICKHOUSE_CA_FILE"
    r"|WEIR_CLICKHOUSE_CLUSTER|WEIR_TOPIC_REPLICATION"
)
WHERE_FILES_LIE: Final = re.compile(r"WEIR_(?:QUOTAS|SOCIAL|BILLING|SECRETS)_DIR")
SECRETS: Final = {
    "CONTAINERS_CLICKHOUSE_PASSWORD": "of-clickhouse",
    "GRAFANA_ADMIN_PASSWORD": "of-grafana",
    "WEIR_JWT_SECRET": "j" * 64,
    "WEIR_VISITOR_SECRET": "v" * 64,
}
PAGE: Final = CHECKOUT / "docs" / "containers.md"
CLICKHOUSE_CONFIGURATION: Final = CHECKOUT / "deploy" / "containers" / "clickhouse.xml"
PINNED: Final = re.compile(r"[a-z0-9./-]+:v?\d+(?:\.\d+)+[a-z0-9.-]*")


def services(document: Document | None = None) -> dict[str, Document]:
    found = (document or loaded(COMPOSE))["services"]
    assert isinstance(found, dict)
    return found


def development() -> Document:
    return merged(loaded(COMPOSE), loaded(OVERRIDE))


def ours() -> list[str]:
    return [*KINDS, "pages"]


def image_environment() -> dict[str, str]:
    return stages_of(CHECKOUT / "deploy" / "containers" / "weir.Dockerfile")[-1].environment


def settings_of(kind: type[Settings]) -> set[str]:
    return {str(field.alias) for field in kind.model_fields.values()}


@pytest.mark.parametrize("read_files", [lambda: loaded(COMPOSE), development])
def test_the_file_is_what_the_specification_allows(read_files: Callable[[], Document]) -> None:
    document = filled_in(read_files(), SECRETS)
    read = PyCompose.from_yaml(yaml.safe_dump(document))
    read.validate()
    assert set(read.service_names()) == {
        *ours(), "kafka", "clickhouse", "prometheus", "grafana",
    }  # fmt: skip


def test_the_specification_refuses_a_mistake() -> None:
    document = filled_in(loaded(COMPOSE), SECRETS)
    document["services"]["api"]["depend_on"] = document["services"]["api"].pop("depends_on")
    with pytest.raises(ValueError, match="depend_on"):
        PyCompose.from_yaml(yaml.safe_dump(document)).validate()


def examples() -> list[Document]:
    """What the page shows as an override of one's own."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [each for each in map(yaml.safe_load, blocks) if "services" in each]


@pytest.mark.parametrize("override", examples())
def test_an_override_that_the_page_shows_fits(override: Document) -> None:
    document = merged(loaded(COMPOSE), override)
    PyCompose.from_yaml(yaml.safe_dump(filled_in(document, SECRETS))).validate()
    for name, service in services(override).items():
        assert name in services() or "image" in service, name
    for each in services(document).values():
        assert set(each["networks"]) <= document["networks"].keys()
        assert all(re.match(r"127\.0\.0\.1:|\$\{", port) for port in each.get("ports", []))


def test_what_the_override_adds_belongs_to_services_that_exist() -> None:
    assert services(loaded(OVERRIDE)).keys() <= services().keys()


@pytest.mark.parametrize("name", KINDS)
def test_every_variable_of_a_service_is_a_setting_of_its_process(name: str) -> None:
    given = services(development())[name].get("environment", {})
    known = settings_of(KINDS[name]) | settings_of(StartSettings) | OF_LIBRARIES
    known |= OF_COMMANDS if name == "api" else set()
    known |= OF_S3 if "WEIR_MEDIA_URL" in known else set()
    assert {each for each in given if each not in known and not each.startswith("OTEL_")} == set()


@pytest.mark.parametrize("name", KINDS)
def test_every_setting_of_a_process_can_be_set_in_env(name: str) -> None:
    reached = {*services()[name].get("environment", {}), *image_environment()}
    missing = {
        each
        for each in (settings_of(KINDS[name]) | settings_of(StartSettings)) - reached
        if not OF_OTHER_SERVERS.fullmatch(each) and not WHERE_FILES_LIE.fullmatch(each)
    }
    if name in {"migrate", "topics"}:
        # They read the settings of a server, and use few of them.
        missing -= {"WEIR_KAFKA_COMPRESSION"}
    assert missing == set(), f"add these to {name} in docker-compose.yml, each without a value"


def test_who_stores_pictures_gets_what_s3_needs() -> None:
    holders = {
        name for name, each in services().items() if "WEIR_MEDIA_URL" in each.get("environment", {})
    }
    assert holders == {"api", "social"}
    for name in holders:
        assert services()[name]["environment"].keys() >= OF_S3


def test_commands_in_the_api_know_the_groups_of_the_workers() -> None:
    assert services()["api"]["environment"].keys() >= OF_COMMANDS
    for name in ("sink", "quotas", "social", "billing"):
        assert services()[name]["environment"].keys() & OF_COMMANDS


@pytest.mark.parametrize("read_files", [lambda: loaded(COMPOSE), development])
def test_an_image_is_built_once_and_never_looked_for_elsewhere(
    read_files: Callable[[], Document],
) -> None:
    built: dict[str, list[str]] = {"weir": [], "weir-pages": []}
    for name, service in services(read_files()).items():
        image = service["image"].split(":")[0]
        if "build" in service:
            built[image].append(name)
        elif name in ours():
            assert service["pull_policy"] == "never", name
    assert built == {"weir": ["migrate"], "weir-pages": ["pages"]}


def test_what_clickhouse_writes_about_itself_has_an_end() -> None:
    configuration = ET.fromstring(CLICKHOUSE_CONFIGURATION.read_text())  # noqa: S314, it is ours
    assert configuration.tag == "clickhouse"
    assert configuration.findtext("logger/level") == "warning"
    kept = {
        each.tag: each
        for each in configuration
        if each.tag.endswith("_log") and each.get("remove") is None
    }
    assert kept.keys() == {"query_log", "part_log"}
    for log in kept.values():
        # With an engine of its own it would be written there, and the server would not start.
        assert [each.tag for each in log] == ["ttl"]
        assert re.fullmatch(r"event_date \+ INTERVAL \d DAY DELETE", str(log.findtext("ttl")))
    mounts = dict(
        each.split(":")[:2] for each in services()["clickhouse"]["volumes"] if each.startswith("./")
    )
    # Beside the image's own files there: a folder would hide them.
    place = mounts[f"./{CLICKHOUSE_CONFIGURATION.relative_to(CHECKOUT)}"]
    assert place == "/etc/clickhouse-server/config.d/weir.xml"


def test_the_sink_has_the_memory_that_scaling_says() -> None:
    small = scaling.PLANS[0]
    assert (small.events, small.days) == (1_000, 7)
    # One sink, one ClickHouse server; half a gigabyte is for batches.
    needed = small.filter_bytes / scaling.REPLICAS + 5e8
    assert bytes_of(services()["sink"]["deploy"]["resources"]["limits"]["memory"]) >= needed


def bytes_of(limit: str) -> int:
    """Of Compose's `4G`, which counts in powers of 1,024."""
    return int(limit[:-1]) * {"M": 1024**2, "G": 1024**3}[limit[-1]]


def test_the_gateway_that_a_proxy_comes_from_is_known() -> None:
    document = filled_in(loaded(COMPOSE), SECRETS)
    [pool] = document["networks"]["front"]["ipam"]["config"]
    gateway = next(ip_network(pool["subnet"]).hosts())
    assert f"TRUSTED_PROXY={gateway}" in PAGE.read_text()


def test_every_variable_of_the_image_is_a_setting() -> None:
    known = set().union(*map(settings_of, KINDS.values()))
    assert {each for each in image_environment() if SETTING.fullmatch(each)} <= known


@pytest.mark.parametrize("name", KINDS)
def test_each_process_takes_what_it_is_given(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in list(os.environ):
        if SETTING.fullmatch(each):
            monkeypatch.delenv(each)
    given = environment_of(services()[name], SECRETS | {"STRIPE_API_KEY": "sk_test_1"})
    for variable, value in (image_environment() | given).items():
        if SETTING.fullmatch(variable):
            monkeypatch.setenv(variable, value)
    settings = KINDS[name]()
    if isinstance(settings, KafkaSettings):
        assert settings.bootstrap_servers == "kafka:9092"
    if isinstance(settings, ClickHouseSettings):
        arguments = settings.clickhouse_arguments()
        assert (arguments["username"], arguments["password"]) == ("weir", "of-clickhouse")


def test_a_credential_is_given_to_those_alone_who_need_it() -> None:
    def holders(variable: str) -> set[str]:
        return {
            name for name, each in services().items() if variable in str(each.get("environment"))
        }

    assert holders("OPENAI_API_KEY") == {"social"}
    assert holders("STRIPE_API_KEY") == {"api", "billing"}
    assert holders("STRIPE_WEBHOOK_SECRET") == {"api"}
    assert holders("WEIR_JWT_SECRET") == {"api"}
    assert holders("CLICKHOUSE_PASSWORD") == {"clickhouse", "migrate", "api", "sink"}
    assert holders("GRAFANA_ADMIN_PASSWORD") == {"grafana"}


def test_without_a_secret_compose_says_which_and_what_to_do() -> None:
    for missing in (
        "CONTAINERS_CLICKHOUSE_PASSWORD",
        "GRAFANA_ADMIN_PASSWORD",
        "WEIR_VISITOR_SECRET",
    ):
        with pytest.raises(NotSet, match=f"{missing}: run `make compose-env`"):
            filled_in(loaded(COMPOSE), {**SECRETS, missing: ""})


def test_no_secret_has_a_default() -> None:
    for file in (COMPOSE, OVERRIDE):
        for name, value in _strings(loaded(file)):
            if re.search(r"PASSWORD|SECRET|TOKEN|API_KEY", name) and value is not None:
                reference = REFERENCE.fullmatch(value)
                assert reference, name
                assert reference["kind"] == ":?", name
        assert not re.search(r"://[^/@\s]+:[^/@\s]+@", file.read_text())


def _strings(document: Json, key: str = "") -> Iterator[tuple[str, str | None]]:
    match document:
        case dict():
            for name, value in document.items():
                yield from _strings(value, str(name))
        case list():
            for value in document:
                yield from _strings(value, key)
        case _:
            yield key, None if document is None else str(document)


def test_every_variable_of_compose_stands_in_the_example() -> None:
    example = (CHECKOUT / ".env.example").read_text()
    explained = set(re.findall(r"^(?:# )?([A-Z_]+)=", example, re.MULTILINE))
    named = {
        match["name"]
        for file in (COMPOSE, OVERRIDE)
        for match in REFERENCE.finditer(file.read_text())
    }
    handed_on = {
        variable
        for service in services(development()).values()
        for variable, value in service.get("environment", {}).items()
        if value is None
    }
    assert named | handed_on <= explained


def test_images_are_pinned() -> None:
    version = re.search(
        r'^version = "(.+)"', (CHECKOUT / "pyproject.toml").read_text(), re.MULTILINE
    )
    assert version is not None
    for name, service in services(development()).items():
        assert PINNED.fullmatch(service["image"]), name
        if name in ours():
            kind = "weir-pages" if name == "pages" else "weir"
            assert service["image"] == f"{kind}:{version[1]}"
    assert services()["kafka"]["image"] == KAFKA_IMAGE
    assert services()["clickhouse"]["image"] == CLICKHOUSE_IMAGE


@pytest.mark.parametrize("name", services())
def test_a_service_is_guarded_and_bounded(name: str) -> None:
    service = services(development())[name]
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    if name in ours():
        assert service["read_only"] is True
        [tmpfs] = service["tmpfs"]
        assert tmpfs.startswith("/tmp:size=")  # noqa: S108, of the container
    if name in {"migrate", "topics"}:
        assert service["restart"] == "no"
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
        assert "stop_grace_period" in service


def test_a_health_check_asks_the_port_on_which_the_process_answers() -> None:
    ports = {"api": "WEIR_API_PORT", "sink": "WEIR_SINK_PORT", "quotas": "WEIR_QUOTAS_PORT",
             "social": "WEIR_SOCIAL_PORT", "billing": "WEIR_BILLING_PORT"}  # fmt: skip
    for name, setting in ports.items():
        port = image_environment()[setting]
        assert f"127.0.0.1:{port}/readyz" in services()[name]["healthcheck"]["test"][-1]


def test_a_service_begins_when_what_it_needs_is_ready() -> None:
    waits = {
        name: {on: said["condition"] for on, said in service.get("depends_on", {}).items()}
        for name, service in services().items()
    }
    done = "service_completed_successfully"
    assert waits == {
        "kafka": {},
        "clickhouse": {},
        "migrate": {"clickhouse": "service_healthy"},
        "topics": {"kafka": "service_healthy"},
        **{
            name: {"migrate": done, "topics": done}
            for name in ("api", "sink", "quotas", "social", "billing")
        },
        "pages": {"api": "service_healthy"},
        "prometheus": {},
        "grafana": {"prometheus": "service_healthy"},
    }


def test_one_way_leads_in_and_operators_come_from_this_machine() -> None:
    document = filled_in(loaded(COMPOSE), SECRETS)
    published = {
        name: each["ports"] for name, each in services(document).items() if "ports" in each
    }
    assert published == {
        "pages": ["127.0.0.1:8080:8080"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3000:3000"],
    }
    for name, each in services(filled_in(development(), SECRETS)).items():
        for port in each.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
        # A network without a way out has none in either.
        assert "ports" not in each or set(each["networks"]) != {"back"}, name
    assert document["networks"]["back"] == {"internal": True}
    assert services()["kafka"]["networks"] == services()["clickhouse"]["networks"] == ["back"]
    # What can be asked from outside cannot reach the servers.
    assert services()["pages"]["networks"] == ["front"]


def test_every_service_but_servers_can_be_scaled() -> None:
    named = set(loaded(COMPOSE)["volumes"])
    for name in ("api", "sink", "quotas", "social", "billing"):
        for document in (loaded(COMPOSE), development()):
            service = services(document)[name]
            assert "container_name" not in service
            assert "hostname" not in service
            if name != "api":
                assert all(each.startswith("127.0.0.1::") for each in service.get("ports", []))
        # A folder that is one worker's alone lies on a volume without a name: each has its own.
        shared = [each for each in services()[name].get("volumes", []) if ":" in each]
        assert all(each.split(":")[1] == "/data/media-store" for each in shared)
        if name in {"quotas", "social", "billing"}:
            assert "/data" in services()[name]["volumes"]
    used = {
        each.split(":")[0]
        for service in services().values()
        for each in service.get("volumes", [])
        if ":" in each and not each.startswith(".")
    }
    assert used == named


def test_what_is_mounted_is_there() -> None:
    for service in services(development()).values():
        for each in service.get("volumes", []):
            source = each.split(":")[0]
            if source.startswith("./"):
                assert (CHECKOUT / source).exists(), source
        if "build" in service:
            assert (CHECKOUT / service["build"]["dockerfile"]).is_file()


def test_topics_are_never_made_by_who_first_names_one() -> None:
    assert services()["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_a_reloaded_process_ends_before_its_container_is_killed() -> None:
    for service in services(loaded(OVERRIDE)):
        if "entrypoint" in services(loaded(OVERRIDE))[service]:
            assert services()[service]["stop_grace_period"] == "30s"
    assert _END_SECONDS < 30


def _written_env(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [CHECKOUT / "deploy" / "containers" / "compose-env"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_secrets_are_made_once_for_their_user_alone(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text(COMPOSE.read_text())
    done = _written_env(tmp_path)
    assert done.returncode == 0, done.stderr
    file = tmp_path / ".env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    values = dict(re.findall(r"^([A-Z_]+)=(.*)$", file.read_text(), re.MULTILINE))
    assert values.pop("COMPOSE_FILE") == "docker-compose.yml"
    assert values.keys() == SECRETS.keys()
    assert len(set(values.values())) == len(values)
    for value in values.values():
        assert re.fullmatch(r"[0-9a-f]{64}", value)
    filled_in(loaded(COMPOSE), values)
    written = file.read_text()
    again = _written_env(tmp_path)
    assert (again.returncode, file.read_text()) == (1, written)
    assert ".env is there already" in again.stderr
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".env")] == [".env"]
