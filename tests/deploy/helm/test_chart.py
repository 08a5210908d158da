"""The chart makes what Kubernetes takes, of settings and ports that Weir has."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Final

import kubernetes_validate
import pytest
import yaml
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from api.settings import ApiSettings
from bench import scaling
from schemas.servers import ClickHouseSettings, KafkaSettings
from schemas.topics import EVENT_TOPICS, TOPICS, USER_PARTITIONS
from streams.billing.settings import BillingSettings
from streams.quotas.settings import QuotasSettings
from streams.sink.settings import SinkSettings
from streams.social.settings import SocialSettings
from tests.deploy.helm.chart import (
    CASES,
    CHART,
    KUBERNETES,
    VALUES,
    Container,
    Manifest,
    NotRendered,
    containers,
    helm,
    of_kind,
    rendered,
)
from tests.go_programs import BUILD_SECONDS

pytestmark = pytest.mark.timeout(BUILD_SECONDS + 60)

READ_BY: Final[dict[str, tuple[type[BaseSettings], ...]]] = {
    "api": (ApiSettings,),
    "sink": (SinkSettings,),
    "quotas": (QuotasSettings,),
    "social": (SocialSettings,),
    "billing": (BillingSettings,),
    "setup": (KafkaSettings, ClickHouseSettings),
}
"""Which settings each component reads."""

NOT_OURS: Final = frozenset({"FORWARDED_ALLOW_IPS"})
"""Read by uvicorn."""

# Kinds of the Prometheus Operator, of which no schema is here.
FOREIGN: Final = frozenset({"PodMonitor", "PrometheusRule"})

REFERENCE: Final = '{"name": "a", "key": "b"}'
FACTS: Final = yaml.safe_load((CHART / "files" / "processes.yaml").read_text())
DEFAULTS: Final = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: Final = json.loads((CHART / "values.schema.json").read_text())


def settings_of(component: str) -> dict[str, object]:
    """The names in the environment, with the type of each."""
    return {
        str(field.alias): field.annotation
        for kind in READ_BY[component]
        for field in kind.model_fields.values()
    }


def all_settings() -> set[str]:
    return {name for component in READ_BY for name in settings_of(component)}


def all_secrets() -> set[str]:
    return {
        name
        for component in READ_BY
        for name, kind in settings_of(component).items()
        if kind is SecretStr
    }


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_helm_finds_nothing_to_say_against_it(case: str) -> None:
    values = str(VALUES / f"{case}.yaml")
    said = helm("lint", str(CHART), "--strict", "--values", values, "--kube-version", "1.37")
    assert "0 chart(s) failed" in said
    assert "WARNING" not in said


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_takes_every_manifest(case: str, version: str) -> None:
    for manifest in rendered(case, kubernetes=version):
        if manifest["kind"] not in FOREIGN:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_a_manifest_that_kubernetes_does_not_take_is_found() -> None:
    [deployment] = [
        each
        for each in rendered("minimal")
        if each["metadata"]["name"] == "weir-sink"
        if each["kind"] == "Deployment"
    ]
    wrong = {**deployment, "spec": {**deployment["spec"], "replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES[-1], strict=True)


def test_no_name_is_given_twice(case: str) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in rendered(case)]
    assert len(names) == len(set(names))
    assert all(len(name) <= 63 for _, name in names)


def test_settings_that_the_chart_gives_are_ones_that_the_process_reads(case: str) -> None:
    for container in containers(case):
        if container.component == "pages":
            continue
        # What is meant for all is given to all.
        given = set(yaml.safe_load((VALUES / f"{case}.yaml").read_text()).get("settings", {}))
        extra = {"AWS_REGION"}
        ours = container.environment.keys() - given - extra - NOT_OURS
        assert ours <= settings_of(container.component).keys(), container.component


def test_settings_in_the_values_exist() -> None:
    for case in CASES:
        values = yaml.safe_load((VALUES / f"{case}.yaml").read_text())
        for settings in (values, *(values.get(name, {}) for name in FACTS)):
            named = settings.get("settings", {}).keys()
            assert {each for each in named if not each.startswith("OTEL_")} <= all_settings()


def test_every_setting_can_be_given() -> None:
    pattern = re.compile(SCHEMA["definitions"]["settings"]["propertyNames"]["pattern"])
    secrets = set(SCHEMA["properties"]["secrets"]["propertyNames"]["enum"])
    for name in all_settings():
        assert name in secrets or pattern.match(name), name


def test_secrets_are_those_of_the_settings_and_no_plain_values() -> None:
    enumerated = set(SCHEMA["properties"]["secrets"]["propertyNames"]["enum"])
    assert enumerated == all_secrets()
    forbidden = set(SCHEMA["definitions"]["settings"]["propertyNames"]["not"]["enum"])
    assert enumerated < forbidden
    for name, facts in FACTS.items():
        own = {each for each, kind in settings_of(name).items() if kind is SecretStr}
        assert set(facts["secrets"]) == own, name


def test_no_secret_is_rendered(case: str) -> None:
    assert not of_kind(case, "Secret")
    for container in containers(case):
        assert not container.environment.keys() & (all_secrets() - {"CLICKHOUSE_URL"})
        assert not re.search(r"//[^/@]*:[^/@]*@", container.environment.get("CLICKHOUSE_URL", ""))


def test_a_process_has_the_secrets_that_it_reads_and_no_other(case: str) -> None:
    named = yaml.safe_load((VALUES / f"{case}.yaml").read_text())["secrets"]
    for container in containers(case):
        mounted = {
            item["path"]
            for volume in container.pod["volumes"]
            for source in volume.get("projected", {}).get("sources", ())
            for item in source["secret"]["items"]
        }
        if container.component == "pages":
            assert not mounted
            continue
        read = {
            name for name, kind in settings_of(container.component).items() if kind is SecretStr
        }
        assert mounted == named.keys() & read
        assert bool(mounted) == ("WEIR_SECRETS_DIR" in container.environment)


def test_files_that_settings_name_are_mounted(case: str) -> None:
    for container in containers(case):
        places = [Path(each["mountPath"]) for each in container.spec["volumeMounts"]]
        for name, value in container.environment.items():
            if name.endswith(("_FILE", "_DIR")):
                assert any(Path(value).is_relative_to(place) for place in places), (name, value)
        volumes = {each["name"] for each in container.pod["volumes"]}
        claims = container.manifest["spec"].get("volumeClaimTemplates", ())
        volumes |= {each["metadata"]["name"] for each in claims}
        assert {each["name"] for each in container.spec["volumeMounts"]} == volumes


def test_each_container_is_shut_in(case: str) -> None:
    for container in containers(case):
        assert container.pod["automountServiceAccountToken"] is False
        assert container.pod["enableServiceLinks"] is False
        assert container.pod["securityContext"]["runAsNonRoot"] is True
        assert container.pod["securityContext"]["runAsUser"] > 0
        security = container.spec["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert security.get("privileged") is None
        resources = container.spec["resources"]
        assert resources["requests"].keys() == {"cpu", "memory"}
        assert "memory" in resources["limits"]


def test_each_process_is_probed_and_has_the_time_to_end(case: str) -> None:
    for container in containers(case):
        if container.manifest["kind"] == "Job":
            continue
        probes = [
            container.spec[name] for name in ("startupProbe", "livenessProbe", "readinessProbe")
        ]
        for probe in probes:
            action = probe.get("httpGet") or probe["tcpSocket"]
            assert action["port"] in container.ports
        grace = container.pod["terminationGracePeriodSeconds"]
        lingers = container.spec.get("lifecycle", {}).get("preStop", {}).get("sleep", {})
        assert grace - lingers.get("seconds", 0) >= 20


def test_the_api_stays_in_its_service_when_clickhouse_is_away() -> None:
    [api] = [each for each in containers("minimal") if each.component == "api"]
    assert api.spec["readinessProbe"]["httpGet"]["path"] == (
        "/readyz?exclude=kafka&exclude=clickhouse&exclude=migrations"
    )


def test_processes_listen_where_they_are_looked_for(case: str) -> None:
    for container in containers(case):
        facts = FACTS.get(container.component)
        if facts is None:
            continue
        environment = container.environment
        assert environment[facts["listens"]["host"]] == "0.0.0.0"  # noqa: S104
        assert int(environment[facts["listens"]["port"]]) == container.ports["http"]
        if "metrics" in facts:
            assert int(environment[facts["metrics"]["port"]]) == container.ports["metrics"]


def workloads(case: str) -> Iterator[tuple[str, Manifest]]:
    for kind in ("Deployment", "StatefulSet"):
        yield from of_kind(case, kind).items()


def test_services_budgets_and_accounts_are_those_of_the_workloads(case: str) -> None:
    budgets = of_kind(case, "PodDisruptionBudget")
    accounts = {
        each["metadata"]["name"] for each in rendered(case) if each["kind"] == "ServiceAccount"
    }
    services = of_kind(case, "Service")
    for component, workload in workloads(case):
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert workload["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert budgets[component]["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert workload["spec"]["template"]["spec"]["serviceAccountName"] in accounts
        if workload["kind"] == "StatefulSet":
            assert workload["spec"]["serviceName"] == services[component]["metadata"]["name"]
        if component in services:
            assert services[component]["spec"]["selector"].items() <= labels.items()
    for component, service in services.items():
        [container] = [each for each in containers(case) if each.component == component]
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in container.ports


def allowed(policy: Manifest, direction: str) -> set[tuple[str, int]]:
    return {
        (port["protocol"], port["port"])
        for rule in policy["spec"].get(direction, ())
        for port in rule["ports"]
    }


def test_what_is_not_named_is_denied(case: str) -> None:
    policies = {
        each["metadata"]["name"]: each for each in rendered(case) if each["kind"] == "NetworkPolicy"
    }
    deny = policies["weir-deny"]["spec"]
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in deny
    assert "egress" not in deny
    for container in containers(case):
        labels = container.manifest["spec"]["template"]["metadata"]["labels"]
        assert deny["podSelector"]["matchLabels"].items() <= labels.items()
        policy = policies[f"weir-{container.component}"]
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
        assert {port for _, port in allowed(policy, "ingress")} <= set(container.ports.values())
        for rule in policy["spec"].get("ingress", ()):
            assert rule["ports"]


def test_a_process_reaches_only_the_servers_that_it_speaks_to() -> None:
    ports = {
        component: {port for _, port in allowed(policy, "egress")}
        for component, policy in of_kind("everything", "NetworkPolicy").items()
    }
    kafka, clickhouse, https, tracing = 9092, 8443, 443, 4318
    assert ports["api"] == {53, kafka, clickhouse, https, tracing}
    assert ports["sink"] == {53, kafka, clickhouse, tracing}
    assert ports["quotas"] == {53, kafka, tracing}
    assert ports["billing"] == {53, kafka, https, tracing}
    assert ports["social"] == {53, kafka, https, 8444, tracing}
    assert ports["setup"] == {53, kafka, clickhouse, tracing}
    assert ports["pages"] == {53, 8000}


def test_brokers_ports_are_open(case: str) -> None:
    [sink] = [each for each in containers(case) if each.component == "sink"]
    servers = sink.environment["KAFKA_BOOTSTRAP_SERVERS"]
    ports = {int(each.rpartition(":")[2]) for each in servers.split(",")}
    policy = of_kind(case, "NetworkPolicy")["sink"]
    assert ports <= {port for _, port in allowed(policy, "egress")}


@pytest.mark.parametrize(
    ("values", "component", "ports"),
    [
        ('clickhouse.url="https://weir@clickhouse:9440/weir"', "sink", {53, 9092, 9440}),
        ('clickhouse.url="https://weir@clickhouse/weir"', "sink", {53, 9092, 8443}),
        ('clickhouse.url="http://[fd00::1]/weir"', "setup", {53, 9092, 8123}),
        ("networkPolicy.clickhouse.ports=[8123]", "sink", {53, 9092, 8443, 8123}),
        (
            'sink.settings.OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4999"',
            "sink",
            {53, 9092, 8443, 4999},
        ),
        (
            'settings.OTEL_EXPORTER_OTLP_ENDPOINT="https://collector"',
            "quotas",
            {53, 9092, 443},
        ),
        (
            'settings.WEIR_JWKS_URL="http://login.example.com:8080/jwks"',
            "api",
            {53, 9092, 8443, 443, 8080},
        ),
    ],
)
def test_the_ports_in_addresses_are_open(values: str, component: str, ports: set[int]) -> None:
    [policy] = [
        each
        for each in rendered("minimal", (values,))
        if each["kind"] == "NetworkPolicy" and each["metadata"]["name"] == f"weir-{component}"
    ]
    assert {port for _, port in allowed(policy, "egress")} == ports


def test_an_address_that_is_a_secret_has_the_usual_port() -> None:
    assert 8443 in {
        port for _, port in allowed(of_kind("secured", "NetworkPolicy")["sink"], "egress")
    }


def test_addresses_that_may_have_a_port_are_settings() -> None:
    for name, facts in FACTS.items():
        assert set(facts.get("addresses", ())) <= settings_of(name).keys()
        assert "addresses" not in facts or facts["https"]


def test_the_sinks_have_the_memory_that_scaling_says() -> None:
    small = scaling.PLANS[0]
    assert (small.events, small.days, small.sinks) == (1_000, 7, DEFAULTS["sink"]["replicas"])
    memory = {
        kind: int(each["memory"].removesuffix("Gi")) * 1024**3
        for kind, each in DEFAULTS["sink"]["resources"].items()
    }
    assert memory["requests"] >= small.filter_of_a_sink
    # One has all partitions while the other is replaced; half a gigabyte is for batches.
    assert memory["limits"] >= small.filter_bytes + 5e8


def test_more_workers_than_partitions_are_never_started(case: str) -> None:
    for component, scaler in of_kind(case, "HorizontalPodAutoscaler").items():
        facts = FACTS[component]
        spec = scaler["spec"]
        workload = dict(workloads(case))[component]
        assert "replicas" not in workload["spec"]
        assert spec["scaleTargetRef"] == {
            "apiVersion": "apps/v1",
            "kind": workload["kind"],
            "name": workload["metadata"]["name"],
        }
        [metric] = spec["metrics"]
        if "partitions" not in facts:
            assert metric["resource"]["name"] == "cpu"
            continue
        [container] = [each for each in containers(case) if each.component == component]
        setting = {"events": "WEIR_EVENT_PARTITIONS", "users": "WEIR_USER_PARTITIONS"}
        assert spec["maxReplicas"] <= int(container.environment[setting[facts["partitions"]]])
        assert metric["external"]["metric"]["selector"]["matchLabels"] == {
            "app_kubernetes_io_instance": "weir",
            "app_kubernetes_io_component": component,
        }


def test_partitions_are_those_of_the_registry_unless_values_say_otherwise() -> None:
    assert DEFAULTS["kafka"]["partitions"]["users"] == USER_PARTITIONS
    assert {DEFAULTS["kafka"]["partitions"]["events"]} == {
        topic.partitions for topic in EVENT_TOPICS if not topic.keyed_by_user
    }
    kafka = KafkaSettings()
    assert all(topic.partitions_by(kafka) == topic.partitions for topic in TOPICS)


def test_jobs_name_nothing_that_is_made_after_them(case: str) -> None:
    made = {
        (each["kind"], each["metadata"]["name"])
        for each in rendered(case)
        if "helm.sh/hook" not in each["metadata"].get("annotations", {})
    }
    jobs = [each for each in containers(case) if each.manifest["kind"] == "Job"]
    assert {each.name for each in jobs} == {"migrate", "topics"}
    for job in jobs:
        assert job.spec["args"] == [job.name]
        hooks = job.manifest["metadata"]["annotations"]["helm.sh/hook"]
        assert hooks == "pre-install,pre-upgrade"
        assert job.pod["serviceAccountName"] == "default"
        for volume in job.pod["volumes"]:
            name = volume.get("configMap", {}).get("name")
            assert ("ConfigMap", name) not in made


def test_numbers_are_written_as_settings_read_them() -> None:
    [api] = [each for each in containers("everything") if each.component == "api"]
    assert api.environment["WEIR_MAX_UNCONFIRMED_BYTES"] == "134217728"
    assert api.environment["WEIR_SELF_ANALYTICS"] == "true"
    assert api.environment["WEIR_QUERY_TIMEOUT"] == "10"
    [sink] = [each for each in containers("everything") if each.component == "sink"]
    assert sink.environment["WEIR_SINK_LINGER"] == "1.5"


def test_a_paused_sink_runs_nowhere() -> None:
    assert of_kind("paused", "Deployment")["sink"]["spec"]["replicas"] == 0
    assert "sink" not in of_kind("paused", "HorizontalPodAutoscaler")


def test_the_monitor_looks_at_ports_that_are_there() -> None:
    for component, monitor in of_kind("everything", "PodMonitor").items():
        [container] = [each for each in containers("everything") if each.component == component]
        [endpoint] = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["port"] in container.ports
        assert endpoint["path"] == "/metrics"
        [job] = endpoint["relabelings"]
        assert job == {"targetLabel": "job", "replacement": f"weir-{component}"}
        policy = of_kind("everything", "NetworkPolicy")[component]
        assert container.ports[endpoint["port"]] in {port for _, port in allowed(policy, "ingress")}


def test_alerts_are_those_of_prometheus() -> None:
    [rule] = [each for each in rendered("everything") if each["kind"] == "PrometheusRule"]
    alerts = CHART.parents[1] / "prometheus" / "alerts.yml"
    assert rule["spec"] == yaml.safe_load(alerts.read_text())


def test_dashboards_are_those_of_grafana() -> None:
    [dashboards] = [each for each in rendered("everything") if each["kind"] == "ConfigMap"]
    assert dashboards["metadata"]["labels"]["grafana_dashboard"] == "1"
    files = sorted((CHART.parents[1] / "grafana" / "dashboards").glob("*.json"))
    assert dashboards["data"] == {each.name: each.read_text() for each in files}
    # What Kubernetes takes of one ConfigMap.
    assert sum(map(len, dashboards["data"].values())) < 1024**2


def test_the_documented_commands_wait_for_as_long_as_a_job_may_take() -> None:
    page = (CHART.parents[2] / "docs" / "kubernetes.md").read_text()
    commands = re.findall(r"helm (?:install|upgrade|rollback) weir (?!-n)[^\n`]*", page)
    assert len(commands) >= 3
    for command in commands:
        hours = re.search(r"--timeout (\d+)h\b", command)
        assert hours, command
        assert int(hours[1]) * 3600 >= DEFAULTS["jobs"]["activeDeadlineSeconds"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ('kafka.bootstrapServers=""', "name a Kafka cluster"),
        ('kafka.bootstrapServers="kafka"', "bootstrapServers"),
        ('kafka.securityProtocol="TLS"', "securityProtocol"),
        ('kafka.securityProtocol="SASL_SSL"', "needs kafka.saslUsername and secrets"),
        ('clickhouse.url=""', "name a ClickHouse"),
        ('clickhouse.url="https://weir:hunter2@clickhouse:8443/weir"', "leave the password out"),
        ('settings={"STRIPE_API_KEY": "sk_live_1"}', "STRIPE_API_KEY"),
        ('settings={"weir_jwks_url": "x"}', "weir_jwks_url"),
        ('settings.WEIR_JWKS_URL=""', "say how tokens are checked"),
        ('secrets={"WEIR_TOKEN": {"name": "a", "key": "b"}}', "WEIR_TOKEN"),
        ('secrets.WEIR_VISITOR_SECRET="hunter2"', "WEIR_VISITOR_SECRET"),
        ("secrets.WEIR_VISITOR_SECRET=null", "WEIR_VISITOR_SECRET"),
        ("sink.replicas=0", "replicas"),
        ("sink.replicas=5", "gives work to 4"),
        ('sink.autoscaling={"enabled": true, "maxReplicas": 9}', "gives work to 4"),
        ('api.autoscaling={"enabled": true, "minReplicas": 9}', "more than maxReplicas"),
        ("sink.replica=2", "replica"),
        ("social.enabled=true", "say where pictures lie"),
        ("billing.enabled=true", "billing needs it"),
        ("ingress.enabled=true", "name the host"),
        ('ingress={"enabled": true, "host": "weir.example.com"}', "pages.trustedProxy"),
        ('sink.settings.WEIR_SINK_GROUP="other"', "name it in settings"),
        ('extraVolumes=[{"name": "plans"}]', "extraVolumes"),
        ('social.extraVolumeMounts=[{"name": "a", "mountPath": "b"}]', "mountPath"),
        (f'kafka.ca={{"secret": {REFERENCE}, "configMap": {REFERENCE}}}', "not both"),
        ('quotas.persistence.size="10"', "size"),
        ('image.digest="latest"', "digest"),
        ("networkPolicy.clickhouse.ports=[0]", "ports"),
    ],
)
def test_nonsense_is_refused_with_what_is_wrong(wrong: str, said: str) -> None:
    with pytest.raises(NotRendered, match=re.escape(said)):
        rendered("minimal", (wrong,))


def test_all_that_does_not_fit_is_said_at_once() -> None:
    with pytest.raises(NotRendered) as refused:
        rendered(
            "minimal", ('kafka.bootstrapServers=""', "billing.enabled=true", "sink.replicas=5")
        )
    message = str(refused.value)
    assert all(
        each in message for each in ("a Kafka cluster", "billing needs it", "gives work to 4")
    )


def test_an_older_kubernetes_is_refused() -> None:
    with pytest.raises(NotRendered, match="kubeVersion"):
        rendered("minimal", kubernetes="1.29")


def test_components_are_named_for_their_commands() -> None:
    for container in all_containers():
        if container.component != "pages":
            assert container.spec["args"] == [container.name]


def all_containers() -> Iterator[Container]:
    for case in CASES:
        yield from containers(case)


def test_the_values_that_the_page_shows_are_taken(tmp_path: Path) -> None:
    page = (CHART.parents[2] / "docs" / "kubernetes.md").read_text()
    blocks = re.findall(r"^( *)```yaml\n(.*?)^\1```", page, re.MULTILINE | re.DOTALL)
    shown = [yaml.safe_load(dedent(text)) for _, text in blocks]
    [whole] = [each for each in shown if "image" in each]
    parts = [each for each in shown if each.keys() < DEFAULTS.keys()]
    assert len(parts) >= 3
    for number, part in enumerate(parts):
        files = []
        for name, values in (("whole", whole), (f"part-{number}", part)):
            files += ["--values", str(tmp_path / name)]
            (tmp_path / name).write_text(yaml.safe_dump(values))
        assert helm("template", "weir", str(CHART), "--kube-version", KUBERNETES[-1], *files)
