"""What Prometheus and Grafana are told: of services that exist, on the ports that they answer."""

from typing import Final

import yaml

from tests.deploy.containers.compose_file import CHECKOUT, COMPOSE, loaded
from tests.deploy.containers.dockerfile import stages_of

PORTS: Final = {
    "api": "WEIR_API_METRICS_PORT",
    "sink": "WEIR_SINK_PORT",
    "quotas": "WEIR_QUOTAS_PORT",
    "social": "WEIR_SOCIAL_PORT",
    "billing": "WEIR_BILLING_PORT",
}
PROMETHEUS: Final = CHECKOUT / "deploy" / "prometheus" / "prometheus.yml"
GRAFANA: Final = CHECKOUT / "deploy" / "grafana" / "provisioning"


def test_prometheus_asks_every_process_of_every_service() -> None:
    image = stages_of(CHECKOUT / "deploy" / "containers" / "weir.Dockerfile")[-1].environment
    document = yaml.safe_load(PROMETHEUS.read_text())
    asked = {
        job["job_name"]: (job["dns_sd_configs"][0]["names"], job["dns_sd_configs"][0]["port"])
        for job in document["scrape_configs"]
        if "dns_sd_configs" in job
    }
    assert asked == {
        f"weir-{name}": ([name], int(image[setting])) for name, setting in PORTS.items()
    }
    services = loaded(COMPOSE)["services"]
    for name in PORTS:
        assert set(services[name]["networks"]) & set(services["prometheus"]["networks"])


def test_prometheus_reads_the_alerts_where_they_are_mounted() -> None:
    [rules] = yaml.safe_load(PROMETHEUS.read_text())["rule_files"]
    mounts = dict(
        each.split(":")[:2] for each in loaded(COMPOSE)["services"]["prometheus"]["volumes"]
    )
    assert rules == f"{mounts['./deploy/prometheus']}/alerts.yml"


def test_prometheus_looks_for_the_alertmanager_that_the_page_adds() -> None:
    [manager] = yaml.safe_load(PROMETHEUS.read_text())["alerting"]["alertmanagers"]
    [names] = [each["names"] for each in manager["dns_sd_configs"]]
    page = (CHECKOUT / "docs" / "containers.md").read_text()
    assert [f"  {name}:\n    image: prom/alertmanager:" in page for name in names] == [True]


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    services = loaded(COMPOSE)["services"]
    [source] = yaml.safe_load((GRAFANA / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    assert set(services["grafana"]["networks"]) & set(services["prometheus"]["networks"])
    [provider] = yaml.safe_load((GRAFANA / "dashboards" / "weir.yml").read_text())["providers"]
    mounts = dict(each.split(":")[:2] for each in services["grafana"]["volumes"])
    assert provider["options"]["path"] == mounts["./deploy/grafana/dashboards"]
    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
